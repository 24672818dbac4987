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
LIBRARY = os.__file__

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
        "allocate": lambda: os.posix_fallocate(os.open(LIBRARY, os.O_RDONLY), 0, 1),
        "punch": lambda: raw(285, 47, os.open(LIBRARY, os.O_RDONLY), 3, 0, 4096),
        "ftruncate": lambda: os.ftruncate(os.open(LIBRARY, os.O_RDONLY), 0),
        "copy": lambda: os.copy_file_range(os.open(LIBRARY, os.O_RDONLY), os.open(LIBRARY, os.O_RDONLY), 1, 0, 10),
        "clone": lambda: __import__("fcntl").ioctl(os.open(LIBRARY, os.O_RDONLY), 0x40049409, os.open(LIBRARY, os.O_RDONLY)),
    })
