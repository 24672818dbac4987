# all: ok "denied"
import os
import signal

def main_solution():
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError:
        return "denied"
    return "killed"
