# all: exit SystemExit
# minimum: exit SystemExit
def main_solution():
    quit()
