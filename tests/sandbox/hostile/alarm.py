# all: crash SIGALRM
# minimum: crash SIGALRM
import signal
import time

def main_solution():
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(60)
