# all: ok "denied"
import os

def main_solution():
    try:
        os.memfd_create("hidden")
    except OSError:
        return "denied"
    return "made"
