# all: ok []
import ctypes
import os
import platform
import mmap

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
        "fadvise": lambda: os.posix_fadvise(os.open(LIBRARY, os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED),
        "readahead": lambda: raw(187, 213, os.open(LIBRARY, os.O_RDONLY), 0, 4096),
        "pageout": lambda: mmap.mmap(os.open(LIBRARY, os.O_RDONLY), 0, prot=1).madvise(21),
        "cold": lambda: mmap.mmap(os.open(LIBRARY, os.O_RDONLY), 0, prot=1).madvise(20),
        "poison": lambda: mmap.mmap(-1, 4096).madvise(100),
        "offline": lambda: mmap.mmap(-1, 4096).madvise(101),
        "cachestat": lambda: raw(451, 451, os.open(LIBRARY, os.O_RDONLY), bytes(16), bytes(40), 0),
    })
