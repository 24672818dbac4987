# all: ok "denied"
import os

def main_solution():
    try:
        os.symlink("@OUTSIDE@", "/tmp/door")
        return os.listdir("/tmp/door")
    except OSError:
        return "denied"
