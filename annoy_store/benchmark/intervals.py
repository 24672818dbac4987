"""Confidence intervals of shares and of their difference, and an exact test.

Decision: cases of one problem are correlated, so n of them count as fewer: n over the design
effect, which is the variance of the share between problems over the variance that independent cases
would have (Kish 1965, Survey Sampling). That effective sample size goes into an interval that keeps
its width at 0 % and at 100 % (for shares Wilson's, as Dean and Pagano 2015 found best for clustered
surveys). It is never more than n, nor less than the number of problems, which is used where all
shares are equal and the correlation cannot be estimated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

Z95 = 1.959964


def wilson_interval(right: float, of: float) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212).

    Args:
        right: Number of successes.
        of: Number of trials.

    Returns:
        Lower and upper end; 0 and 1 without trials.
    """
    if not of:
        return 0.0, 1.0
    share, square = right / of, Z95**2
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = Z95 * math.sqrt(share * (1 - share) / of + square / (4 * of**2)) / (1 + square / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def clustered_interval(counts: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Return the 95 % interval of sum(right) / sum(of) over clusters of correlated cases.

    Wilson's with the effective sample size (Kish 1965; Dean and Pagano 2015, Journal of Survey
    Statistics and Methodology 3, 484-503).

    Args:
        counts: (right, of) per problem.

    Returns:
        Lower and upper end; 0 and 1 without cases.
    """
    of = sum(n for _, n in counts)
    if not of:
        return 0.0, 1.0
    share = sum(right for right, _ in counts) / of
    n = _effective(counts, share * (1 - share))
    return wilson_interval(share * n, n)


def difference_interval(counts: Sequence[tuple[int, int, int]]) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two paired shares, (sum(b) - sum(a)) / sum(of).

    The adjusted Wald interval of paired shares (Bonett and Price 2012, Journal of Educational and
    Behavioral Statistics 37, 479-488) with the effective sample size.

    Args:
        counts: (a, b, of) per problem: cases right only in the first, only in the second, and all.

    Returns:
        Lower and upper end; -1 and 1 without cases.
    """
    of = sum(n for _, _, n in counts)
    if not of:
        return -1.0, 1.0
    one, two = (sum(c[k] for c in counts) / of for k in (0, 1))
    n = _effective([(b - a, cases) for a, b, cases in counts], one + two - (two - one) ** 2)
    first, second = (one * n + 1) / (n + 2), (two * n + 1) / (n + 2)
    middle = second - first
    half = Z95 * math.sqrt((first + second - middle**2) / (n + 2))
    return max(-1.0, middle - half), min(1.0, middle + half)


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Return the two-sided p of McNemar's test (1947) as an exact sign test.

    Args:
        only_first: Pairs where only the first is right.
        only_second: Pairs where only the second is right.
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2**n)))


def _effective(counts: Sequence[tuple[int, int]], variance: float) -> float:
    """Effective sample size (Kish 1965); `variance` is that of one independent case."""
    problems, of = len(counts), sum(n for _, n in counts)
    if problems < 2 or variance <= 0:
        return float(problems)
    mean = sum(total for total, _ in counts) / of
    spread = sum((total - mean * n) ** 2 for total, n in counts) * problems / (problems - 1)
    return max(float(problems), min(float(of), of * of * variance / spread if spread else of))
