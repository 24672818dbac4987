# all: output_too_large
# minimum: output_too_large
def main_solution():
    return "x" * 100_000
