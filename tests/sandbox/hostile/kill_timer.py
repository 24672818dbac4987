# all: ok -1
import ctypes
import platform

def main_solution():
    event = (ctypes.c_int * 16)(0, 0, 9, 0)
    timer = ctypes.c_int()
    number = 222 if platform.machine() == "x86_64" else 107
    return ctypes.CDLL(None).syscall(number, 1, ctypes.byref(event), ctypes.byref(timer))
