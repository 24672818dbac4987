# all: ok *
# calls: 2
# minimum: ok *
import os
import resource
import signal

def main_solution():
    before = [os.umask(0o77), os.getcwd(), str(signal.getsignal(signal.SIGUSR1)), os.environ.get("LEFT")]
    before += [resource.getrlimit(resource.RLIMIT_NOFILE)[0], signal.getitimer(signal.ITIMER_REAL)[0]]
    os.chdir("/usr")
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 100)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    os.environ["LEFT"] = "1"
    return before
