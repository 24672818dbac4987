# all: crash SIGTERM
# minimum: crash SIGTERM
import os
import signal

def main_solution():
    os.kill(os.getpid(), signal.SIGTERM)
    return 1
