# needs: numpy
# all: ok 1.5
import numpy as np

def main_solution():
    return np.float64(1.5)
