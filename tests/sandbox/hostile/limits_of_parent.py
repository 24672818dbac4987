# all: ok "denied"
import os
import resource

def main_solution():
    try:
        resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))
    except OSError:
        return "denied"
    return "limited"
