# all: ok []
import fcntl
import os
import struct

LIBRARY = os.__file__

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
        "inode": lambda: fcntl.fcntl(open(LIBRARY), 1036, struct.pack("=Q", 5)),
        "file": lambda: fcntl.fcntl(open(LIBRARY), 1038, struct.pack("=Q", 5)),
        "seals": lambda: fcntl.fcntl(open(LIBRARY), 1033, 1),
    })
