# all: ok 0
# calls: 2
from multiprocessing import shared_memory

def main_solution():
    try:
        memory = shared_memory.SharedMemory("annoy-left", create=True, size=16)
    except FileExistsError:
        return 1
    except OSError:
        return 0
    memory.buf[0] = 7
    return 0
