# all: ok -1
import ctypes

def main_solution():
    return ctypes.CDLL(None).syscall(425, 1, ctypes.create_string_buffer(256))
