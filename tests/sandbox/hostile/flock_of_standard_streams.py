# all: ok []
import fcntl

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
        "0": lambda: fcntl.flock(0, fcntl.LOCK_EX | fcntl.LOCK_NB),
        "1": lambda: fcntl.flock(1, fcntl.LOCK_EX | fcntl.LOCK_NB),
        "2": lambda: fcntl.flock(2, fcntl.LOCK_EX | fcntl.LOCK_NB),
    })
