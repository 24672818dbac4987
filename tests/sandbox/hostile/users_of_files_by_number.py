# all: ok [-1, -1]
import ctypes
import os
import platform

libc = ctypes.CDLL(None)

def main_solution():
    numbers = (122, 123) if platform.machine() == "x86_64" else (151, 152)
    return [libc.syscall(ctypes.c_long(number), ctypes.c_long(12345)) for number in numbers]
