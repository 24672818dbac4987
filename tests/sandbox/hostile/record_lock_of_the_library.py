# all: ok []
import fcntl
import os
import struct

PATH = os.__file__
LOCK = struct.pack("hhqqi", fcntl.F_RDLCK, 0, 0, 0, 0)

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
        "shared": lambda: fcntl.lockf(open(PATH), fcntl.LOCK_SH | fcntl.LOCK_NB),
        "own": lambda: fcntl.fcntl(open(PATH), 37, LOCK),
        "waiting": lambda: fcntl.fcntl(open(PATH), 38, LOCK),
        "asked": lambda: fcntl.fcntl(open(PATH), fcntl.F_GETLK, LOCK),
    })
