# needs: numpy
# all: not_json ndarray
import numpy as np

def main_solution():
    return np.arange(3)
