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
        "send": lambda: raw(242, 182, 0, b"x", 1, 0, 0),
        "receive": lambda: raw(243, 183, 0, bytes(64), 64, 0, 0),
        "notify": lambda: raw(244, 184, 0, 0),
        "attributes": lambda: raw(245, 185, 0, 0, bytes(64)),
    })
