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
        "lock": lambda: raw(149, 228, 0, 4096),
        "lock on fault": lambda: raw(325, 284, 0, 4096, 1),
        "lock all": lambda: raw(151, 230, 3),
        "policy": lambda: raw(238, 237, 0, 0, 0),
        "bind": lambda: raw(237, 235, 0, 0, 0, 0, 0, 0),
        "resident": lambda: raw(27, 232, 0, 4096, bytes(1)),
        "secret": lambda: raw(447, 447, 0),
        "memory file": lambda: raw(319, 279, b"annoy", 0),
        "key": lambda: raw(330, 289, 0, 0),
        "remap": lambda: raw(216, 234, 0, 4096, 0, 0, 0),
    })
