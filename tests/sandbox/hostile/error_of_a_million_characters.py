# all: exception ValueError
# minimum: exception ValueError
def main_solution():
    raise ValueError("x" * 10**6)
