# all: exception ValueError
# minimum: exception ValueError
def main_solution():
    raise ValueError("\ud800\x00")
