# all: not_json bytes
# minimum: not_json bytes
def main_solution():
    return b"abc"
