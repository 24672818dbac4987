# all: ok true
import os

def main_solution():
    opened = 0
    try:
        while opened < 5000:
            os.open("/dev/null", os.O_RDONLY)
            opened += 1
    except OSError:
        pass
    return opened < 70
