# all: output_too_large or memory or cpu_timeout
# minimum: output_too_large or memory or cpu_timeout
def main_solution():
    return "x" * 50_000_000
