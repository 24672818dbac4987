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
        "lease": lambda: fcntl.fcntl(open(PATH), fcntl.F_SETLEASE, fcntl.F_RDLCK),
        "notice": lambda: fcntl.fcntl(os.open(os.path.dirname(PATH), os.O_RDONLY), fcntl.F_NOTIFY, 2),
        "owner": lambda: fcntl.fcntl(open(PATH), fcntl.F_SETOWN, os.getppid()),
    })
