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
        "add": lambda: raw(248, 217, b"user", b"annoy", b"1", 1, -4),
        "request": lambda: raw(249, 218, b"user", b"annoy", 0, -4),
        "join": lambda: raw(250, 219, 1, 0),
        "search": lambda: raw(250, 219, 10, -4, b"user", b"annoy", 0),
    })
