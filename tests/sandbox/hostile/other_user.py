# all: ok "same"
import os

def main_solution():
    before = os.getresuid()
    for change in (lambda: os.setuid(12345), lambda: os.setgid(12345), lambda: os.setgroups([])):
        try:
            change()
        except OSError:
            continue
    return "same" if os.getresuid() == before else "changed"
