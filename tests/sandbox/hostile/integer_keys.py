# all: ok {"1": 2, "null": 3, "true": 4}
# minimum: ok {"1": 2, "null": 3, "true": 4}
def main_solution():
    return {1: 2, None: 3, True and "true": 4}
