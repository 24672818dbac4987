# all: exception AssertionError
# minimum: exception AssertionError
def main_solution():
    assert False, "mine"
