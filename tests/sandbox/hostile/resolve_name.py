# all: exception gaierror or exception OSError or exception PermissionError
import socket

def main_solution():
    return socket.gethostbyname("example.com")
