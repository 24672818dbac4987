# all: ok []
import ctypes
import os
import platform

LISTED = {@LISTED@}
TRAMPOLINES = {335, 336}  # these end who calls them, whatever a filter says
libc = ctypes.CDLL(None, use_errno=True)

def main_solution():
    """Make every system call that is not listed; return those that did anything but fail."""
    made = []
    for number in range(700):
        if number in LISTED or number in TRAMPOLINES:
            continue
        arguments = [ctypes.c_long(-1)] * 6
        if libc.syscall(ctypes.c_long(number), *arguments) != -1 or ctypes.get_errno() not in (1, 38):
            made.append(number)
    return made
