# all: output_too_large or memory or cpu_timeout
# minimum: output_too_large or memory or cpu_timeout
def main_solution():
    return "x" * 100_000_000
