# all: exception KeyboardInterrupt
# minimum: exception KeyboardInterrupt
def main_solution():
    raise KeyboardInterrupt
