# all: ok []
import fcntl
import os
import termios

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
        "pair": lambda: os.openpty(),
        "master": lambda: os.open("/dev/ptmx", os.O_RDWR),
        "own": lambda: os.open("/dev/tty", os.O_RDWR),
        "type": lambda: fcntl.ioctl(0, termios.TIOCSTI, b"x"),
        "take": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 1),
        "group": lambda: fcntl.ioctl(0, termios.TIOCSPGRP, bytes(4)),
    })
