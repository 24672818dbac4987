# all: crash SIGSEGV or crash SIGABRT or memory or exception RecursionError or cpu_timeout
# minimum: crash SIGSEGV or crash SIGABRT or memory or exception RecursionError or cpu_timeout
import sys

class Deep:
    def __repr__(self):
        return repr(self)

def main_solution():
    sys.setrecursionlimit(2**31 - 1)
    return repr(Deep())
