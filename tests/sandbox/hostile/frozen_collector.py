# all: ok 1
# minimum: ok 1
import gc

def main_solution():
    gc.unfreeze()
    gc.collect()
    return 1
