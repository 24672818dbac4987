# all: ok *
# calls: 2
import ctypes
import os
import socket

def main_solution():
    before = [socket.gethostname(), os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0))]
    for change in (lambda: socket.sethostname("left"), lambda: os.nice(3), lambda: os.sched_setaffinity(0, {0})):
        try:
            change()
        except OSError:
            continue
    return before
