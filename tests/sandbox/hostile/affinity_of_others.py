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
        "host": lambda: os.sched_setaffinity(@PID@, {0}),
        "parent": lambda: os.sched_setaffinity(os.getppid(), {0}),
        "first": lambda: os.sched_setaffinity(1, {0}),
        "own": lambda: os.sched_setaffinity(0, {0}),
    })
