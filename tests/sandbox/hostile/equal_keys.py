# all: ok {"1": 3}
# minimum: ok {"1": 3}
def main_solution():
    return {1: 2, "1": 3}
