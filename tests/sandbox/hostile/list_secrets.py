# all: ok "denied"
import os

def main_solution():
    try:
        return os.listdir("@OUTSIDE@")
    except OSError:
        return "denied"
