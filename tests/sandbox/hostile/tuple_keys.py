# all: not_json TypeError
# minimum: not_json TypeError
def main_solution():
    return {(1, 2): 3}
