# all: exit SystemExit
# minimum: exit SystemExit
import sys

def main_solution():
    sys.exit(0)
