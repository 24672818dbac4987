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
        "inotify": lambda: raw(294, 26, 0),
        "old inotify": lambda: raw(253, -1),
        "watch": lambda: raw(254, 27, 0, b"/tmp", 2),
        "fanotify": lambda: raw(300, 262, 0, 0),
        "mark": lambda: raw(301, 263, 0, 1, 2, -100, b"/tmp"),
        "counters": lambda: raw(298, 241, bytes(128), 0, -1, -1, 0),
        "program": lambda: raw(321, 280, 0, bytes(64), 64),
        "faults": lambda: raw(323, 282, 1),
    })
