# all: ok "denied"
import os
import signal

def main_solution():
    try:
        os.killpg(0, signal.SIGTERM)
    except OSError:
        return "denied"
    return "killed"
