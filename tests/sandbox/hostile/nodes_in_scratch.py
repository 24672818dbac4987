# all: ok []
import os
import stat

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
        "fifo": lambda: os.mkfifo("/tmp/fifo"),
        "device": lambda: os.mknod("/tmp/null", stat.S_IFCHR | 0o666, os.makedev(1, 3)),
        "socket": lambda: os.mknod("/tmp/socket", stat.S_IFSOCK | 0o666),
        "file": lambda: os.mknod("/tmp/file", stat.S_IFREG | 0o666),
    })
