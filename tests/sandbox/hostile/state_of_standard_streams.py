# all: ok [true, true, true]
# calls: 2
# minimum: ok [true, true, true]
import os

def main_solution():
    before = [os.get_blocking(stream) for stream in (0, 1, 2)]
    for stream in (0, 1, 2):
        os.set_blocking(stream, False)
    return before
