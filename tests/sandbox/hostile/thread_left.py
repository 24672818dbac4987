# all: ok 1
# minimum: ok 1
import threading
import time

def main_solution():
    threading.Thread(target=time.sleep, args=(60,)).start()
    return 1
