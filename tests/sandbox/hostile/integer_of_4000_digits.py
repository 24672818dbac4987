# all: ok *
# minimum: ok *
def main_solution():
    return 10**4000
