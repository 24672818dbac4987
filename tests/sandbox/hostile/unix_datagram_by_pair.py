# all: ok "denied"
import socket

def main_solution():
    try:
        mine, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        mine.sendto(b"hello", "@UNIX@.dgram")
    except OSError:
        return "denied"
    return "sent"
