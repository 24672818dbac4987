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
        "send": lambda: raw(69, 189, @MSG@, (ctypes.c_long * 2)(1, 7), 8, 0o4000),
        "receive": lambda: raw(70, 188, @MSG@, (ctypes.c_long * 9)(), 64, 0, 0o4000),
        "status": lambda: raw(71, 187, @MSG@, 2, bytes(256)),
        "remove": lambda: raw(71, 187, @MSG@, 0, 0),
        "find": lambda: raw(68, 186, @KEY@, 0),
        "create": lambda: raw(68, 186, 0, 0o1600),
    })
