# all: memory or cpu_timeout
# minimum: memory or cpu_timeout
def main_solution():
    things = [0]
    while True:
        things = things + things
