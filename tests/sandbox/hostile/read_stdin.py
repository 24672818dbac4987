# all: exception EOFError
# minimum: exception EOFError
def main_solution():
    return input()
