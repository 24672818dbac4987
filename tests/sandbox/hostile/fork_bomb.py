# all: ok ["denied", 0]
# minimum: ok *
import os

def main_solution():
    made = 0
    try:
        for _ in range(50):
            if os.fork() == 0:
                while True:
                    os.pause() if hasattr(os, "pause") else __import__("time").sleep(100)
            made += 1
    except OSError:
        return ["denied", made]
    return ["forked", made]
