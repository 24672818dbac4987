# all: wall_timeout
# minimum: wall_timeout
import os
import time

def main_solution():
    while True:
        for number in range(3, 64):
            try:
                os.write(number, b"x")
            except OSError:
                continue
        time.sleep(0.05)
