# all: ok []
import socket

ONE, OTHER = socket.socketpair()

def done(attempts):
    found = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(name)
    return found

def main_solution():
    return done({
        "bind": lambda: ONE.bind("@UNIX@.new"),
        "connect": lambda: ONE.connect("@UNIX@"),
        "listen": lambda: ONE.listen(),
        "option": lambda: ONE.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 1),
        "filter": lambda: ONE.setsockopt(socket.SOL_SOCKET, 26, bytes(16)),
        "address": lambda: ONE.sendto(b"x", "@UNIX@.dgram"),
    })
