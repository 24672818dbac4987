# all: ok "denied"
import os

def main_solution():
    try:
        os.link("@OUTSIDE@/secret.txt", "/tmp/linked")
    except OSError:
        return "denied"
    return open("/tmp/linked").read()
