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
        "/": lambda: fcntl.flock(os.open("/", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB),
        "/usr": lambda: fcntl.flock(os.open("/usr", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB),
        "/tmp": lambda: fcntl.flock(os.open("/tmp", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB),
        "/usr/lib": lambda: fcntl.flock(os.open("/usr/lib", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB),
    })
