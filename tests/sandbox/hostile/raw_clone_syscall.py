# all: ok [-1, -1, -1]
import ctypes
import platform

def main_solution():
    libc = ctypes.CDLL(None, use_errno=True)
    clone, fork, clone3 = (56, 57, 435) if platform.machine() == "x86_64" else (220, 220, 435)
    return [libc.syscall(clone, 17, 0, 0, 0, 0), libc.syscall(fork, 17, 0, 0, 0, 0), libc.syscall(clone3, 0, 0)]
