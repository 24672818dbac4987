# all: ok true
def main_solution():
    total = 0
    try:
        for number in range(20):
            with open(f"/dev/shm/part{number}", "wb") as out:
                for _ in range(8):
                    total += out.write(bytes(2**20))
    except OSError:
        pass
    return total <= 17 * 2**20
