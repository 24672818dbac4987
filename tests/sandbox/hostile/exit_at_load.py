# all: exit SystemExit
# minimum: exit SystemExit
import sys

sys.exit(0)

def main_solution():
    return 1
