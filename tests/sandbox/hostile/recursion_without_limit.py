# all: crash SIGSEGV or memory or cpu_timeout or exception RecursionError
# minimum: crash SIGSEGV or memory or cpu_timeout or exception RecursionError
import sys

def main_solution():
    sys.setrecursionlimit(2**31 - 1)
    return main_solution()
