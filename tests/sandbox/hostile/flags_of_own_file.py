# all: ok "denied"
import fcntl
import struct
import os

def main_solution():
    try:
        with open("/tmp/mine", "w") as mine:
            fcntl.ioctl(mine, 0x40086602, struct.pack("=q", 0x40))
    except OSError:
        return "denied"
    return "done"
