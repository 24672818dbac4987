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
    return done({device: lambda device=device: os.setxattr(device, "system.posix_acl_access", bytes.fromhex("0200000001000600ffffffff04000600ffffffff20000600ffffffff")) for device in DEVICES})
