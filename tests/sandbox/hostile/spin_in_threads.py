# all: cpu_timeout
# minimum: cpu_timeout
import threading

def spin():
    while True:
        pass

def main_solution():
    for _ in range(4):
        threading.Thread(target=spin).start()
    spin()
