# all: ok "done"
import os

def main_solution():
    try:
        os.makedirs("/tmp/a/b/c/d")
        os.chmod("/tmp/a", 0)
    except OSError:
        pass
    return "done"
