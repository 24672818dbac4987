# all: ok -1
import ctypes

def main_solution():
    return ctypes.CDLL(None).mount(b"none", b"/tmp", b"tmpfs", 0, None)
