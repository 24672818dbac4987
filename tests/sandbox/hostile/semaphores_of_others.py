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
        "set": lambda: raw(66, 191, @SEM@, 0, 16, 5),
        "get": lambda: raw(66, 191, @SEM@, 0, 12, 0),
        "operate": lambda: raw(65, 193, @SEM@, (ctypes.c_short * 3)(0, -1, 0o4000), 1),
        "operate in time": lambda: raw(220, 192, @SEM@, (ctypes.c_short * 3)(0, -1, 0o4000), 1, 0),
        "remove": lambda: raw(66, 191, @SEM@, 0, 0, 0),
        "find": lambda: raw(64, 190, @KEY@, 1, 0),
        "create": lambda: raw(64, 190, 0, 1, 0o1600),
    })
