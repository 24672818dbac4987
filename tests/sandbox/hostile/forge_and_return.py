# all: bad_frame
# minimum: bad_frame
import os

def main_solution():
    for number in range(3, 64):
        try:
            os.write(number, b"garbage")
        except OSError:
            continue
    return 1
