# all: not_json NaN
# minimum: not_json NaN
def main_solution():
    return float("nan")
