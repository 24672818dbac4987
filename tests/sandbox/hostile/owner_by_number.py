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
        "chown": lambda: raw(92, -1, b"/dev/null", -1, -1),
        "fchown": lambda: raw(93, 55, os.open("/dev/null", os.O_RDONLY), -1, -1),
        "lchown": lambda: raw(94, -1, b"/dev/null", -1, -1),
        "fchownat": lambda: raw(260, 54, -100, b"/dev/null", -1, -1, 0),
    })
