# all: ok "denied"
import os

def main_solution():
    try:
        with open("/tmp/mine", "w") as mine:
            os.setxattr(mine.fileno(), "user.annoy", b"1")
    except OSError:
        return "denied"
    return "done"
