# all: exception URLError
import urllib.request

def main_solution():
    return urllib.request.urlopen("http://127.0.0.1:@TCP@/", timeout=2).read().decode()
