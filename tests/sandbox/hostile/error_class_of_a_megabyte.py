# all: exception ?
# minimum: exception ?
def main_solution():
    raise type("E" * 10**6, (Exception,), {})("odd")
