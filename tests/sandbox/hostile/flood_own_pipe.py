# all: bad_frame or cpu_timeout
# minimum: bad_frame or cpu_timeout
import os

def main_solution():
    while True:
        for number in range(3, 64):
            try:
                os.write(number, b"x" * 2**16)
            except OSError:
                continue
