# all: not_json RecursionError
# minimum: not_json RecursionError
def main_solution():
    value = []
    for _ in range(500):
        value = {"a": value}
    return value
