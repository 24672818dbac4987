# all: no_result
# minimum: no_result
import os
import time

def main_solution():
    os.closerange(0, 256)
    time.sleep(60)
