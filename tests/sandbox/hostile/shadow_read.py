# all: ok 0
# minimum: ok 0
import colorsys

def main_solution():
    return getattr(colorsys, "answer", 0)
