# all: ok 1 or cpu_timeout
# minimum: ok 1 or cpu_timeout
import sys

def main_solution():
    for _ in range(2000):
        sys.stdout.write("x" * 2**16)
        sys.stderr.write("x" * 2**16)
    return 1
