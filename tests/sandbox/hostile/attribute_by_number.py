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
PATH = os.__file__.encode()

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
        "setxattr": lambda: raw(188, 5, PATH, b"user.annoy", b"1", 1, 0),
        "lsetxattr": lambda: raw(189, 6, PATH, b"user.annoy", b"1", 1, 0),
        "removexattr": lambda: raw(197, 14, PATH, b"user.annoy"),
        "lremovexattr": lambda: raw(198, 15, PATH, b"user.annoy"),
        "setxattrat": lambda: raw(463, 463, -100, PATH, 0, b"user.annoy", (ctypes.c_long * 2)(0, 1), 16),
        "removexattrat": lambda: raw(466, 466, -100, PATH, 0, b"user.annoy"),
        "file_setattr": lambda: raw(469, 469, -100, PATH, (ctypes.c_long * 3)(), 24, 0),
    })
