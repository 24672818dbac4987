# all: ok []
import os
DEVICES = ["/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/loop-control", "/dev/net/tun", "/dev/port",
           "/dev/console", "/dev/tty", "/dev/ptmx", "/dev/hwrng", "/dev/cpu_dma_latency", "/dev/uinput", "/dev/snapshot"]

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
    return done({device: lambda device=device: os.close(os.open(device, os.O_RDONLY | os.O_NONBLOCK)) for device in DEVICES})
