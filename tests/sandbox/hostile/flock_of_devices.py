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
        "/dev/null": lambda: fcntl.flock(os.open("/dev/null", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB),
        "/dev/zero": lambda: fcntl.flock(os.open("/dev/zero", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB),
        "/dev/urandom": lambda: fcntl.flock(os.open("/dev/urandom", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB),
    })
