# all: not_json ValueError or cpu_timeout
# minimum: not_json ValueError or cpu_timeout
def main_solution():
    return 10 ** (10**6)
