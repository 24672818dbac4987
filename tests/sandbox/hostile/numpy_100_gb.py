# needs: numpy
# all: memory
import numpy as np

def main_solution():
    return float(np.ones((10**5, 10**5)).sum())
