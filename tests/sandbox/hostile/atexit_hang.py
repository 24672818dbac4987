# all: ok 1
# minimum: ok 1
import atexit
import time

atexit.register(time.sleep, 60)

def main_solution():
    return 1
