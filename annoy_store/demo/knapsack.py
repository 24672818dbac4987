"""0/1 knapsack by dynamic programming."""


def knapsack(capacity: int, weights: list, values: list) -> int:
    """Find the greatest value that fits into a bag of the given capacity, every item used once at most."""
    best = [0] * (capacity + 1)
    for weight, value in zip(weights, values):
        for room in range(capacity, weight - 1, -1):
            with_item = best[room - weight] + value
            if with_item > best[room]:
                best[room] = with_item
    return best[capacity]


assert knapsack(10, [5, 4, 6, 3], [10, 40, 30, 50]) == 90
assert knapsack(7, [1, 3, 4, 5], [1, 4, 5, 7]) == 9
