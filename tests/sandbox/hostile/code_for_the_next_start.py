# all: ok []
import os
import site
import sys

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
        "sitecustomize": lambda: open(os.path.join(os.path.dirname(os.__file__), "sitecustomize.py"), "w").write("x = 1"),
        "path file": lambda: open(os.path.join(os.path.dirname(os.__file__), "site-packages", "annoy.pth"), "w").write("x = 1"),
        "shadow": lambda: open(os.path.join(sys.prefix, "json.py"), "w").write("x = 1"),
        "runner": lambda: open("/runner.py", "w").write("x = 1"),
        "venv": lambda: open(os.path.join(sys.prefix, "pyvenv.cfg"), "w").write("x = 1"),
    })
