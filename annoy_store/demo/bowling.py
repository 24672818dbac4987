"""Ten-pin bowling."""

from typing import List


def bowling_score(rolls: List[int]) -> int:
    """Add up a game of bowling; a spare counts the next roll twice, a strike the next two."""
    total = 0
    at = 0
    for frame in range(10):
        if at >= len(rolls):
            break
        if rolls[at] == 10:
            total += 10 + sum(rolls[at + 1 : at + 3])
            at += 1
        elif sum(rolls[at : at + 2]) == 10:
            total += 10 + sum(rolls[at + 2 : at + 3])
            at += 2
        else:
            total += sum(rolls[at : at + 2])
            at += 2
    return total


def test_bowling():
    assert bowling_score([10, 3, 7, 4, 2]) == 40
    assert bowling_score([1, 9, 5, 0, 10, 2, 3]) == 35
    assert bowling_score([0, 0, 4, 5, 6, 4, 8, 1]) == 36
