# all: ok []
import fcntl
import os
import struct

LIBRARY = os.__file__

def done(attempts):
    found = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(name)
    return found

def main_solution():
    return done({
        "immutable": lambda: fcntl.ioctl(open(LIBRARY), 0x40086602, struct.pack("=q", 0x10)),
        "32 bit": lambda: fcntl.ioctl(open(LIBRARY), 0x40046602, struct.pack("=i", 0x80)),
        "extended": lambda: fcntl.ioctl(open(LIBRARY), 0x401C5820, bytes(28)),
        "version": lambda: fcntl.ioctl(open(LIBRARY), 0x40087602, bytes(8)),
        "defragment": lambda: fcntl.ioctl(open(LIBRARY), 0xC028660F, bytes(40)),
    })
