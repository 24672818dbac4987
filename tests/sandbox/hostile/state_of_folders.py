# all: ok [false, false]
# calls: 2
import os

PATHS = ("/tmp/folder-left", "/dev/shm/folder-left")

def main_solution():
    before = [os.path.exists(path) for path in PATHS]
    for path in PATHS:
        try:
            os.makedirs(path + "/inner")
        except OSError:
            pass
    return before
