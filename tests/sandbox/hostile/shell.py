# all: ok false
import os

def main_solution():
    return os.system("true") == 0
