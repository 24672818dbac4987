# all: ok null
# minimum: ok null
def main_solution():
    pass
