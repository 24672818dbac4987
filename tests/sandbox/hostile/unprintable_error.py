# all: exception Bad
# minimum: exception Bad
class Bad(Exception):
    def __str__(self):
        raise ValueError("no")

def main_solution():
    raise Bad
