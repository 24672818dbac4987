# all: ok -1
import ctypes

def main_solution():
    return ctypes.CDLL(None).mount(b"none", b"/", None, 32 | 4096, None)
