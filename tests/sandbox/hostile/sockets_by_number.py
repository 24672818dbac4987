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
        "internet": lambda: raw(41, 198, 2, 1, 0),
        "unix": lambda: raw(41, 198, 1, 1, 0),
        "netlink": lambda: raw(41, 198, 16, 3, 0),
        "packet": lambda: raw(41, 198, 17, 3, 0),
        "alg": lambda: raw(41, 198, 38, 5, 0),
        "vsock": lambda: raw(41, 198, 40, 1, 0),
        "bluetooth": lambda: raw(41, 198, 31, 3, 0),
        "pair of datagrams": lambda: raw(53, 199, 1, 2, 0, bytes(8)),
        "pair of packets": lambda: raw(53, 199, 1, 5, 0, bytes(8)),
        "pair of another family": lambda: raw(53, 199, 30, 1, 0, bytes(8)),
        "accept": lambda: raw(43, 202, 0, 0, 0),
        "accept4": lambda: raw(288, 242, 0, 0, 0, 0),
    })
