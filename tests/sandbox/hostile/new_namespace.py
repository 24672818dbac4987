# all: ok [-1, -1]
import ctypes

def main_solution():
    libc = ctypes.CDLL(None)
    return [libc.unshare(0x10000000), libc.unshare(0x20000)]
