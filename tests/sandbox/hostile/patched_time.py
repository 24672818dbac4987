# all: wall_timeout
# minimum: wall_timeout
import time

sleep = time.sleep
time.time = lambda: 0
time.monotonic = lambda: 0

def main_solution():
    sleep(60)
