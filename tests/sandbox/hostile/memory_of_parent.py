# all: ok "denied"
import os

def main_solution():
    try:
        with open(f"/proc/{os.getppid()}/mem", "rb") as memory:
            memory.read(1)
    except OSError:
        return "denied"
    return "read"
