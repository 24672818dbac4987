# all: exception SyntaxError or exception ValueError
# minimum: exception SyntaxError or exception ValueError
def main_solution():
    return "@NUL@"
