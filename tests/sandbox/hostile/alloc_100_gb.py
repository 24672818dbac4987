# all: memory
# minimum: memory
def main_solution():
    return len(bytearray(100 * 2**30))
