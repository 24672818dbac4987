# all: ok []
import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)

def main_solution():
    made = []
    for number in range(0x40000000, 0x40000000 + 600):
        arguments = [ctypes.c_long(-1)] * 6
        if libc.syscall(ctypes.c_long(number), *arguments) != -1 or ctypes.get_errno() not in (1, 38):
            made.append(number)
    return made
