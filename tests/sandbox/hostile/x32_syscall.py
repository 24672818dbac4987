# all: ok "denied" or crash SIGSYS
import ctypes

def main_solution():
    return "denied" if ctypes.CDLL(None).syscall(0x40000000 + 57) < 0 else "forked"
