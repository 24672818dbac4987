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
        "strict": lambda: raw(317, 277, 0, 0, 0),
        "filter": lambda: raw(317, 277, 1, 0, bytes(16)),
        "listen": lambda: raw(317, 277, 1, 8, bytes(16)),
        "sizes": lambda: raw(317, 277, 3, 0, bytes(16)),
        "landlock": lambda: raw(444, 444, 0, 0, 1),
        "rule": lambda: raw(445, 445, 0, 1, bytes(16), 0),
        "restrict": lambda: raw(446, 446, 0, 0),
    })
