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
        "host": lambda: os.setpriority(os.PRIO_PROCESS, @PID@, 10),
        "parent": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 10),
        "group": lambda: os.setpriority(os.PRIO_PGRP, 0, 10),
        "own": lambda: os.setpriority(os.PRIO_PROCESS, 0, 10),
        "disk": lambda: raw(251, 30, 1, os.getppid(), 3 << 13),
        "own disk": lambda: raw(251, 30, 1, 0, 3 << 13),
    })
