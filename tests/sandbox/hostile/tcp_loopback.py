# all: ok "denied"
import socket

def main_solution():
    try:
        socket.create_connection(("127.0.0.1", @TCP@), 2).send(b"hello")
    except OSError:
        return "denied"
    return "connected"
