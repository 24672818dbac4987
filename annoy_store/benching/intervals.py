"""How sure a share is, and whether two of them differ: 95 % intervals and an exact test."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction

Z95 = 1.959964
RESAMPLES = 2_000


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927); 0 to 1 for nothing."""
    if not of:
        return 0.0, 1.0
    share, square = right / of, Z95**2
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = Z95 * math.sqrt(share * (1 - share) / of + square / (4 * of**2)) / (1 + square / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p of McNemar's test as an exact sign test over the pairs that differ."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2**n)))


def bootstrap(counts: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """The 95 % percentile interval of sum(a) / sum(b) over drawn (a, b) (Efron 1979).

    The draws are seeded: equal counts, equal interval.
    """
    if not counts:
        return 0.0, 1.0
    dice = random.Random(0)
    drawn = (dice.choices(counts, k=len(counts)) for _ in range(RESAMPLES))
    shares = sorted(sum(a for a, _ in d) / sum(b for _, b in d) for d in drawn)
    return shares[int(RESAMPLES * 0.025)], shares[int(RESAMPLES * 0.975) - 1]
