# all: ok -1
import ctypes
import platform

def main_solution():
    number = 248 if platform.machine() == "x86_64" else 217
    return ctypes.CDLL(None).syscall(number, b"user", b"annoy", b"data", 4, -3)
