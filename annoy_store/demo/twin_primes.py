from typing import List


def sieve(limit: int) -> List[bool]:
    flags = [True] * (limit + 1)
    flags[0:2] = [False, False]
    for number in range(2, int(limit ** 0.5) + 1):
        if flags[number]:
            for multiple in range(number * number, limit + 1, number):
                flags[multiple] = False
    return flags


def count_twin_primes(limit: int) -> int:
    """Count the pairs of primes up to the limit that differ by exactly two."""
    flags = sieve(limit)
    pairs = 0
    for number in range(3, limit - 1):
        if flags[number] and flags[number + 2]:
            pairs += 1
    return pairs


if __name__ == "__main__":
    for limit in (100, 1000):
        print(limit, count_twin_primes(limit))
    print(count_twin_primes(350), count_twin_primes(700))
