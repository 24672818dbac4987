# all: ok "denied"
import os

def main_solution():
    try:
        with open("/tmp/mine", "w") as mine:
            os.chmod(mine.fileno(), 0o777)
    except OSError:
        return "denied"
    return "done"
