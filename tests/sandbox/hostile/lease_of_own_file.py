# all: ok "denied"
import fcntl
import os

def main_solution():
    try:
        with open("/tmp/mine", "w") as mine:
            fcntl.fcntl(mine, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError:
        return "denied"
    return "done"
