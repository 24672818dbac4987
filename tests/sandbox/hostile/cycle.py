# all: not_json ValueError
# minimum: not_json ValueError
def main_solution():
    things = []
    things.append(things)
    return things
