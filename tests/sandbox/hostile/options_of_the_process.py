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
        "dumpable": lambda: raw(157, 167, 4, 1, 0, 0, 0),
        "ptracer": lambda: raw(157, 167, 1499557217, -1, 0, 0, 0),
        "reaper": lambda: raw(157, 167, 36, 1, 0, 0, 0),
        "death signal": lambda: raw(157, 167, 1, 0, 0, 0, 0),
        "keep capabilities": lambda: raw(157, 167, 8, 1, 0, 0, 0),
        "securebits": lambda: raw(157, 167, 28, 0, 0, 0, 0),
        "seccomp": lambda: raw(157, 167, 22, 1, 0, 0, 0),
        "task counters": lambda: raw(157, 167, 31, 0, 0, 0, 0),
        "memory map": lambda: raw(157, 167, 35, 1, 0, 0, 0),
        "speculation": lambda: raw(157, 167, 53, 0, 0, 0, 0),
        "scheduling core": lambda: raw(157, 167, 62, 1, 0, 0, 0),
        "capability": lambda: raw(157, 167, 47, 2, 0, 0, 0),
        "io flusher": lambda: raw(157, 167, 57, 1, 0, 0, 0),
        "dispatch": lambda: raw(157, 167, 59, 0, 0, 0, 0),
        "merge": lambda: raw(157, 167, 67, 1, 0, 0, 0),
        "alignment": lambda: raw(157, 167, 6, 1, 0, 0, 0),
        "slack": lambda: raw(157, 167, 29, 1, 0, 0, 0),
        "thp": lambda: raw(157, 167, 41, 1, 0, 0, 0),
    })
