# all: cpu_timeout or memory or not_json *
# minimum: cpu_timeout or memory or not_json *
class Endless(dict):
    def items(self):
        number = 0
        while True:
            yield number, number
            number += 1

def main_solution():
    return Endless(a=1)
