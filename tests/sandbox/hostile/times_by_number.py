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
        "utime": lambda: raw(132, -1, b"/dev/null", None),
        "utimes": lambda: raw(235, -1, b"/dev/null", None),
        "futimesat": lambda: raw(261, -1, -100, b"/dev/null", None),
        "utimensat": lambda: raw(280, 88, -100, b"/dev/null", None, 0),
    })
