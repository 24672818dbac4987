# all: cpu_timeout
# minimum: cpu_timeout
def main_solution():
    return len(str(pow(7, 10**9))) > 0
