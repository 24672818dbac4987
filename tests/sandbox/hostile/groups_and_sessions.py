# all: ok []
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
        "session": lambda: os.setsid(),
        "group": lambda: os.setpgid(0, 0),
        "of parent": lambda: os.setpgid(os.getppid(), 0),
        "join": lambda: os.setpgid(0, os.getpgid(os.getppid())),
    })
