# needs: numpy
# all: not_json int64
import numpy as np

def main_solution():
    return np.int64(1)
