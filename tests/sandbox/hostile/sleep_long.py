# all: wall_timeout
# minimum: wall_timeout
import time

def main_solution():
    time.sleep(60)
