# all: exception RecursionError
# minimum: exception RecursionError
def main_solution():
    return main_solution()
