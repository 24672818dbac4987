# all: cpu_timeout
# minimum: cpu_timeout
def main_solution():
    while True:
        pass
