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
        "attach": lambda: raw(30, 196, @SHM@, 0, 0),
        "attach to read": lambda: raw(30, 196, @SHM@, 0, 0o10000),
        "status": lambda: raw(31, 195, @SHM@, 2, bytes(256)),
        "remove": lambda: raw(31, 195, @SHM@, 0, 0),
        "lock": lambda: raw(31, 195, @SHM@, 11, 0),
        "list": lambda: raw(31, 195, 0, 14, bytes(256)),
        "detach": lambda: raw(67, 197, 0),
    })
