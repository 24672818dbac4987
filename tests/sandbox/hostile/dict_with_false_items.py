# all: not_json LossyJson
# minimum: not_json LossyJson
class Items(dict):
    def items(self):
        return [("a", 1), ("a", 2)]


def main_solution():
    return Items(a=3)
