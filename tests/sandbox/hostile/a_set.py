# all: not_json set
# minimum: not_json set
def main_solution():
    return {1, 2}
