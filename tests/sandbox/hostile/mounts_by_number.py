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
        "mount": lambda: raw(165, 40, b"none", b"/tmp", b"tmpfs", 0, 0),
        "bind": lambda: raw(165, 40, b"/usr", b"/tmp", 0, 4096, 0),
        "unmount": lambda: raw(166, 39, b"/tmp", 2),
        "tree": lambda: raw(428, 428, -100, b"/tmp", 1),
        "move": lambda: raw(429, 429, -100, b"/tmp", -100, b"/tmp", 0),
        "open": lambda: raw(430, 430, b"tmpfs", 0),
        "configure": lambda: raw(431, 431, 0, 0, 0, 0, 0),
        "make": lambda: raw(432, 432, 0, 0, 0),
        "pick": lambda: raw(433, 433, -100, b"/tmp", 0),
        "attributes": lambda: raw(442, 442, -100, b"/tmp", 0, bytes(32), 32),
        "status": lambda: raw(457, 457, bytes(24), bytes(512), 512, 0),
        "list": lambda: raw(458, 458, bytes(24), bytes(64), 8, 0),
    })
