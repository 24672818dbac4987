# all: ok 1
# minimum: ok 1
import os

def main_solution():
    os.chdir("/")
    return 1
