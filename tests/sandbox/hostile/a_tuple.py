# all: ok [1, [2]]
# minimum: ok [1, [2]]
def main_solution():
    return (1, (2,))
