# all: ok "denied"
import os

def main_solution():
    try:
        os.setpriority(os.PRIO_USER, 0, 19)
    except OSError:
        return "denied"
    return "slowed"
