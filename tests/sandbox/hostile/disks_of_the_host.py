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
        "sync": lambda: raw(162, 81),
        "one": lambda: raw(306, 267, os.open("/usr", os.O_RDONLY)),
        "range": lambda: raw(277, 84, os.open(os.__file__, os.O_RDONLY), 0, 0, 2),
        "swap": lambda: raw(167, 224, b"/tmp/swap", 0),
        "no swap": lambda: raw(168, 225, b"/tmp/swap"),
        "quota": lambda: raw(179, 60, 0x800002, 0, 0, 0),
        "quota by descriptor": lambda: raw(443, 443, 0, 0x800002, 0, 0),
        "accounting": lambda: raw(163, 89, b"/tmp/acct"),
        "handle": lambda: raw(303, 264, -100, b"/usr", bytes(136), bytes(4), 0),
        "by handle": lambda: raw(304, 265, -100, bytes(136), 0),
    })
