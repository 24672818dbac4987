# all: ok "denied"
import socket

def main_solution():
    try:
        door = socket.socket(socket.AF_UNIX)
        door.connect("\0@ABSTRACT@")
        door.send(b"hello")
    except OSError:
        return "denied"
    return "connected"
