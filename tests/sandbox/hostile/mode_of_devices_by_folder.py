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
    return done({device: lambda device=device: os.chmod(device[5:], 0o644, dir_fd=os.open("/dev", os.O_PATH)) for device in DEVICES})
