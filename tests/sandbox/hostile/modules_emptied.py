# all: ok 1 or no_result or exception *
# minimum: ok 1 or no_result or exception *
import sys

def main_solution():
    sys.modules.clear()
    return 1
