# all: ok []
import os
from multiprocessing import shared_memory

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
        "read": lambda: open("/dev/shm/@POSIX@").close(),
        "write": lambda: open("/dev/shm/@POSIX@", "r+").close(),
        "unlink": lambda: os.unlink("/dev/shm/@POSIX@"),
        "attach": lambda: shared_memory.SharedMemory("@POSIX@"),
    })
