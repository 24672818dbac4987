# all: ok [2, 4]
# minimum: ok [2, 4]
from concurrent.futures import ThreadPoolExecutor

def main_solution():
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda x: 2 * x, [1, 2]))
