# all: ok []
import ctypes
import os
import platform

ARM = platform.machine() == "aarch64"
libc = ctypes.CDLL(None, use_errno=True)

def raw(intel, arm, *arguments):
    """Make a system call by its number; what this machine does not have fails."""
    number = arm if ARM else intel
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if number < 0 or libc.syscall(ctypes.c_long(number), *wide) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def done(attempts):
    found = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(name)
    return found

def main_solution():
    return done({
        "host": lambda: os.sched_setscheduler(@PID@, os.SCHED_BATCH, os.sched_param(0)),
        "parent": lambda: os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0)),
        "own": lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)),
        "param": lambda: os.sched_setparam(os.getppid(), os.sched_param(0)),
        "attributes": lambda: raw(314, 274, 0, (ctypes.c_int * 12)(48, 3), 0),
    })
