# all: memory or cpu_timeout
# minimum: memory or cpu_timeout
def main_solution():
    kept = []
    while True:
        kept.append(bytearray(2**24))
