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
        "read": lambda: raw(310, 270, os.getppid(), bytes(16), 1, bytes(16), 1, 0),
        "write": lambda: raw(311, 271, os.getppid(), bytes(16), 1, bytes(16), 1, 0),
        "move": lambda: raw(279, 239, os.getppid(), 0, 0, 0, 0, 0),
        "migrate": lambda: raw(256, 238, os.getppid(), 64, bytes(8), bytes(8)),
        "compare": lambda: raw(312, 272, os.getppid(), os.getpid(), 0, 0, 0),
        "robust": lambda: raw(274, 100, os.getppid(), bytes(8), bytes(8)),
        "trace": lambda: raw(101, 117, 16, os.getppid(), 0, 0),
        "seize": lambda: raw(101, 117, 0x4206, os.getppid(), 0, 0),
        "trace me": lambda: raw(101, 117, 0, 0, 0, 0),
    })
