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
        "open": lambda: os.pidfd_open(os.getppid()) if hasattr(os, "pidfd_open") else raw(434, 434, os.getppid(), 0),
        "host": lambda: raw(434, 434, @PID@, 0),
        "signal": lambda: raw(424, 424, 0, 0, 0, 0),
        "descriptor": lambda: raw(438, 438, 0, 0, 0),
        "advise": lambda: raw(440, 440, 0, 0, 0, 0, 0),
        "release": lambda: raw(448, 448, 0, 0),
    })
