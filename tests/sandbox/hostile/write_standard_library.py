# all: ok "denied"
import os

def main_solution():
    try:
        with open(os.__file__, "a") as out:
            out.write("")
    except OSError:
        return "denied"
    return "written"
