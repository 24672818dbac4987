# all: ok []
import fcntl
import os

PATH = os.__file__

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
        "exclusive": lambda: fcntl.flock(open(PATH), fcntl.LOCK_EX | fcntl.LOCK_NB),
        "shared": lambda: fcntl.flock(open(PATH), fcntl.LOCK_SH | fcntl.LOCK_NB),
    })
