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
        "fork": lambda: raw(57, -1),
        "vfork": lambda: raw(58, -1),
        "clone": lambda: raw(56, 220, 17, 0, 0, 0, 0),
        "clone with namespace": lambda: raw(56, 220, 17 | 0x10000000, 0, 0, 0, 0),
        "clone3": lambda: raw(435, 435, (ctypes.c_ulong * 11)(0, 0, 0, 0, 17), 88),
        "exec": lambda: raw(59, 221, b"/bin/true", 0, 0),
        "exec at": lambda: raw(322, 281, -100, b"/bin/true", 0, 0, 0),
        "exec descriptor": lambda: raw(322, 281, os.open("/bin/true", os.O_RDONLY), b"", 0, 0, 0x1000),
    })
