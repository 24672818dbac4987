# all: not_json LossyJson
# minimum: not_json LossyJson
def main_solution():
    return {1: 2, "1": 3}
