# all: ok []
import fcntl
import os
import struct
DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"]

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
    return done({device: lambda device=device: fcntl.ioctl(os.open(device, os.O_RDONLY), 0x40086602, struct.pack("=q", 0x80)) for device in DEVICES})
