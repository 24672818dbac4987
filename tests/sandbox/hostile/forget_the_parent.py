# all: ok -1
import ctypes

def main_solution():
    return ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
