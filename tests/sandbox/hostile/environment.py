# all: ok []
# minimum: ok []
import os

def main_solution():
    return [name for name in os.environ if "KEY" in name or "TOKEN" in name or "SECRET" in name]
