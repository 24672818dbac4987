# all: no_result
# minimum: no_result
import os

def main_solution():
    os.closerange(0, 256)
    return 1
