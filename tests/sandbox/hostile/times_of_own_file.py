# all: ok "denied"
import os

def main_solution():
    try:
        with open("/tmp/mine", "w") as mine:
            os.utime(mine.fileno(), (1, 1))
    except OSError:
        return "denied"
    return "done"
