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
        "clock": lambda: raw(227, 112, 0, (ctypes.c_long * 2)(1, 0)),
        "day": lambda: raw(164, 170, (ctypes.c_long * 2)(1, 0), 0),
        "adjust": lambda: raw(159, 171, bytes(208)),
        "adjust clock": lambda: raw(305, 266, 0, bytes(208)),
        "name": lambda: raw(170, 161, b"annoy", 5),
        "domain": lambda: raw(171, 162, b"annoy", 5),
        "log": lambda: raw(103, 116, 3, bytes(64), 64),
        "reboot": lambda: raw(169, 142, 0, 0, 0, 0),
        "module": lambda: raw(313, 273, 0, b"", 0),
        "kernel": lambda: raw(320, 294, 0, 0, 0, b"", 0),
        "hang up": lambda: raw(153, 58),
        "personality": lambda: raw(135, 92, 0xFFFFFFFF),
    })
