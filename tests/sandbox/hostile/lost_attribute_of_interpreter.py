# all: ok []
import json
import os
import sys
PATHS = [os.__file__, json.__file__, os.path.dirname(os.__file__), sys.executable, os.path.realpath(sys.executable)]

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
    return done({path: lambda path=path: os.removexattr(path, "user.annoy") for path in PATHS})
