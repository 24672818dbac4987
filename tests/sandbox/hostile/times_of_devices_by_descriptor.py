# all: ok []
import os
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
    return done({device: lambda device=device: os.utime(os.open(device, os.O_RDONLY), ns=(1, 1)) for device in DEVICES})
