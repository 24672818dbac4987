# all: ok "denied"
import socket

def main_solution():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("127.0.0.1", @UDP@))
    except OSError:
        return "denied"
    return "sent"
