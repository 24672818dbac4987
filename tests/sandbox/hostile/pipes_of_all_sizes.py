# all: ok []
import fcntl
import os

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
        "grow": lambda: fcntl.fcntl(os.pipe()[0], 1031, 1 << 20),
        "owner": lambda: fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid()),
        "signal": lambda: fcntl.fcntl(os.pipe()[0], 10, 9),
        "watch queue": lambda: os.close(os.pipe2(0o200)[0]),
    })
