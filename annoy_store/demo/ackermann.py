import sys

sys.setrecursionlimit(900)


def ackermann(m, n):
    """Ackermann's function, as in the lecture."""
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))


for m in range(3):
    print([ackermann(m, n) for n in range(4)])
