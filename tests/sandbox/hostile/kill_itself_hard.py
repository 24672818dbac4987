# all: ok "denied"
import os
import signal

def main_solution():
    try:
        os.kill(os.getpid(), signal.SIGKILL)
    except PermissionError:
        return "denied"
