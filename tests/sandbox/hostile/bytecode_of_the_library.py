# all: ok []
import os
import py_compile
import json

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
        "json": lambda: py_compile.compile(json.__file__, doraise=True),
        "os": lambda: py_compile.compile(os.__file__, doraise=True),
    })
