# all: ok []
import ctypes
import os
import platform
import signal

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
        "kill": lambda: os.kill(os.getppid(), signal.SIGTERM),
        "host": lambda: os.kill(@PID@, signal.SIGTERM),
        "probe": lambda: os.kill(@PID@, 0),
        "group": lambda: os.killpg(os.getpgrp(), signal.SIGTERM),
        "everybody": lambda: os.kill(-1, signal.SIGTERM),
        "queue": lambda: raw(129, 138, os.getppid(), 15, bytes(128)),
        "thread queue": lambda: raw(297, 240, os.getppid(), os.getppid(), 15, bytes(128)),
        "thread": lambda: raw(234, 131, os.getppid(), os.getppid(), 15),
        "task": lambda: raw(200, 130, os.getppid(), 15),
    })
