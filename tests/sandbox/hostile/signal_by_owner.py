# all: ok "denied"
import fcntl
import os
import socket

def main_solution():
    one, other = socket.socketpair()
    try:
        fcntl.fcntl(one, fcntl.F_SETOWN, os.getppid())
        fcntl.fcntl(one, fcntl.F_SETFL, fcntl.fcntl(one, fcntl.F_GETFL) | os.O_ASYNC)
        other.send(b"now")
    except OSError:
        return "denied"
    return "sent"
