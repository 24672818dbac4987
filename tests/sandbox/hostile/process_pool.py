# all: exception *
import multiprocessing

def double(x):
    return 2 * x

def main_solution():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(double, [1, 2])
