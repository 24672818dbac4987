# all: bad_frame
# minimum: bad_frame
import os
import struct
import sys

def main_solution():
    frame = sys._getframe()
    while "nonce" not in frame.f_locals:
        frame = frame.f_back
    nonce, pipe = frame.f_locals["nonce"], frame.f_locals["pipe"]
    payload = b'{"trouble": "OSError: seccomp refused"}'
    os.write(pipe, nonce + struct.pack("<I", len(payload)) + payload)
    os._exit(0)
