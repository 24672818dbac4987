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
        "setup": lambda: raw(206, 0, 8, (ctypes.c_long * 1)()),
        "submit": lambda: raw(209, 2, 0, 1, bytes(8)),
        "events": lambda: raw(208, 4, 0, 0, 1, bytes(32), 0),
        "ring": lambda: raw(425, 425, 4, bytes(120)),
        "enter": lambda: raw(426, 426, 0, 1, 0, 0, 0),
        "register": lambda: raw(427, 427, 0, 0, 0, 0),
        "splice": lambda: raw(275, 76, 0, 0, 1, 0, 1, 0),
        "tee": lambda: raw(276, 77, 0, 1, 1, 0),
        "vmsplice": lambda: raw(278, 75, 1, bytes(16), 1, 0),
    })
