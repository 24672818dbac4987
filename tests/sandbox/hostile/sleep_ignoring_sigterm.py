# all: wall_timeout
# minimum: wall_timeout
import signal
import time

def main_solution():
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    time.sleep(60)
