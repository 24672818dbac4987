# all: ok [false, false]
# calls: 2
import os

MARK = 86_400

def main_solution():
    before = [int(os.stat(path).st_mtime) == MARK for path in ("/tmp", "/dev/null")]
    for path in ("/tmp", "/dev/null"):
        try:
            os.utime(path, (MARK, MARK))
        except OSError:
            continue
    return before
