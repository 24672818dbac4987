# all: ok * or memory or exception * or crash * or cpu_timeout or wall_timeout
# minimum: ok * or memory or exception * or crash * or cpu_timeout or wall_timeout
import threading
import time

def main_solution():
    for _ in range(3000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return 1
