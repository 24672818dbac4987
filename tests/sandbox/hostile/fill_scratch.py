# strong: ok true
# fallback: ok true
import os
import tempfile

def main_solution():
    total = 0
    try:
        for number in range(10):
            with open(os.path.join("/tmp", f"part{number}"), "wb") as out:
                for _ in range(8):
                    total += out.write(bytes(2**20))
    except OSError:
        pass
    return total <= 17 * 2**20
