# all: ok "denied"
import fcntl
import os

def main_solution():
    try:
        with open("/tmp/mine", "w") as mine:
            fcntl.lockf(mine, fcntl.LOCK_EX)
    except OSError:
        return "denied"
    return "done"
