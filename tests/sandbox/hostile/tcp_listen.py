# all: ok "denied"
import socket

def main_solution():
    try:
        socket.create_server(("127.0.0.1", 0))
    except OSError:
        return "denied"
    return "listening"
