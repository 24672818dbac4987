# all: ok []
import os

def main_solution():
    found = []
    for name in ("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/kvm", "/dev/tty"):
        try:
            os.close(os.open(name, os.O_RDONLY))
            found.append(name)
        except OSError:
            continue
    return found
