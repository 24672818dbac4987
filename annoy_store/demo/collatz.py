#!/usr/bin/env python3
# How long does a number take to come down to one?

def collatz_length(n):
    steps = 0
    while n != 1:
        if n % 2 == 0:
            n = n // 2
        else:
            n = 3 * n + 1
        steps += 1
    return steps


def longest_collatz(limit):
    """Find the number up to limit that takes the most steps, and how many it takes."""
    best, most = 1, 0
    for start in range(1, limit + 1):
        steps = collatz_length(start)
        if steps > most:
            best, most = start, steps
    return [best, most]


if __name__ == "__main__":
    limit = 30
    print(longest_collatz(limit))
