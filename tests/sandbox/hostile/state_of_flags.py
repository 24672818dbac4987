# all: ok [0, 0, 0]
# calls: 2
# minimum: ok [0, 0, 0]
import fcntl
import os

def main_solution():
    before = [fcntl.fcntl(stream, fcntl.F_GETFL) & os.O_APPEND for stream in (0, 1, 2)]
    for stream in (0, 1, 2):
        fcntl.fcntl(stream, fcntl.F_SETFL, fcntl.fcntl(stream, fcntl.F_GETFL) | os.O_APPEND)
    return before
