# all: wall_timeout
# minimum: wall_timeout
import os
import signal

def main_solution():
    os.kill(os.getpid(), signal.SIGSTOP)
    return 1
