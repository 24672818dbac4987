# all: cpu_timeout
# minimum: cpu_timeout
import signal

def main_solution():
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass
