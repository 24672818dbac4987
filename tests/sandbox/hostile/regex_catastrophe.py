# all: cpu_timeout
# minimum: cpu_timeout
import re

def main_solution():
    return bool(re.match(r"(a+)+$", "a" * 64 + "b"))
