# all: not_json RecursionError
# minimum: not_json RecursionError
def main_solution():
    value = []
    for _ in range(100_000):
        value = [value]
    return value
