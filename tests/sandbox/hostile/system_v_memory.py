# all: ok -1
import ctypes

def main_solution():
    return ctypes.CDLL(None).shmget(0, 2**20, 0o1600)
