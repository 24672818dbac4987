# all: exception SyntaxError
# minimum: exception SyntaxError
def main_solution()
    return 1
