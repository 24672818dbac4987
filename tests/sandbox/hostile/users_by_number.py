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
        "user": lambda: raw(105, 146, os.getuid()),
        "group": lambda: raw(106, 144, os.getgid()),
        "users": lambda: raw(117, 147, -1, -1, -1),
        "groups": lambda: raw(119, 149, -1, -1, -1),
        "real": lambda: raw(113, 145, -1, -1),
        "real group": lambda: raw(114, 143, -1, -1),
        "list": lambda: raw(116, 159, 0, 0),
        "capabilities": lambda: raw(126, 91, (ctypes.c_int * 2)(0x20080522, 0), bytes(24)),
    })
