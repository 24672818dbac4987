# all: ok 0
# calls: 2
import os

def main_solution():
    """How much of the scratch space is used already; then use some and keep it open."""
    if os.getcwd() != "/tmp":
        return 0
    used = os.statvfs("/tmp").f_blocks - os.statvfs("/tmp").f_bfree
    descriptor = os.open("/tmp/large", os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, bytes(1 << 20))
    os.unlink("/tmp/large")
    return used
