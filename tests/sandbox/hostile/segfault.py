# all: crash SIGSEGV
# minimum: crash SIGSEGV
import ctypes

def main_solution():
    return ctypes.string_at(0).decode()
