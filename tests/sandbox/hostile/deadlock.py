# all: wall_timeout
# minimum: wall_timeout
import threading

def main_solution():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
