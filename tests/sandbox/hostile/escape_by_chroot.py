# all: ok "denied"
import os

def main_solution():
    try:
        os.chroot("/tmp")
    except OSError:
        return "denied"
    return "moved"
