# all: ok []
import os
FOLDERS = ["/tmp", "/dev/shm", "/"]

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
    return done({folder: lambda folder=folder: os.chmod(folder, 0o777) for folder in FOLDERS})
