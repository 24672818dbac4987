# all: exception OSError or memory
# minimum: exception OSError or memory
import mmap

def main_solution():
    return len(mmap.mmap(-1, 8 * 2**30))
