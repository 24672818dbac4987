# all: ok []
import os

def main_solution():
    try:
        return os.listdir("/tmp") + os.listdir("/dev/shm") if os.getcwd() == "/tmp" else []
    except OSError:
        return []
