# all: ok 1
# minimum: ok 1
import time

class Hang:
    def __del__(self):
        time.sleep(60)

kept = Hang()

def main_solution():
    return 1
