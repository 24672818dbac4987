# all: ok [false, false]
# calls: 2
import os

PATHS = ("/tmp/left-%d" % os.getuid(), "/dev/shm/left-%d" % os.getuid())

def main_solution():
    before = [os.path.exists(path) for path in PATHS]
    for path in PATHS:
        try:
            open(path, "w").close()
        except OSError:
            pass
    return before
