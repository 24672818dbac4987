# all: cpu_timeout
# minimum: cpu_timeout
def main_solution():
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue
