"""Intervals and tests: published values, coverage, clusters."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.benchmark.intervals import (
    clustered_interval,
    difference_interval,
    mcnemar_p_value,
    wilson_interval,
)


def test_wilson_interval_agrees_with_published_values() -> None:
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_interval_contains_the_share(right: int, more: int) -> None:
    of = right + more
    low, high = wilson_interval(right, of)
    assert 0 <= low <= high <= 1
    if of:
        assert low - 1e-12 <= right / of <= high + 1e-12


def test_mcnemar_p_value_is_that_of_the_exact_sign_test() -> None:
    assert mcnemar_p_value(0, 0) == 1.0
    assert mcnemar_p_value(5, 5) == 1.0
    assert mcnemar_p_value(0, 6) == pytest.approx(2 / 64)
    assert mcnemar_p_value(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 1024)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_p_value_is_symmetric_and_a_probability(a: int, b: int) -> None:
    assert mcnemar_p_value(a, b) == mcnemar_p_value(b, a)
    assert 0 < mcnemar_p_value(a, b) <= 1


def test_clustered_interval_widens_with_clusters_and_never_vanishes() -> None:
    alone, together = [(n % 2, 1) for n in range(60)], [(3 * (n % 2), 3) for n in range(20)]
    assert clustered_interval(alone) == pytest.approx(wilson_interval(30, 60))
    assert clustered_interval(together) == pytest.approx(wilson_interval(10, 20))
    for right in (0, 3):
        assert clustered_interval([(right, 3)] * 5) == pytest.approx(
            wilson_interval(right / 3 * 5, 5)
        )
    assert clustered_interval([(1, 3)] * 20) == pytest.approx(
        wilson_interval(20, 60)
    )  # as even as lone cases
    assert clustered_interval([(2, 3)]) == pytest.approx(wilson_interval(2 / 3, 1))
    assert clustered_interval([]) == (0.0, 1.0)
    low, high = difference_interval([(0, 0, 3)] * 5)
    assert low == -high
    assert high > 0.3
    assert difference_interval([(0, 3, 3)] * 5)[0] < 0.8
    assert difference_interval([]) == (-1.0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=30))
def test_intervals_contain_the_estimate(parts: list[tuple[int, int, int]]) -> None:
    counts = [(a, b, a + b + same) for a, b, same in parts if a + b + same]
    of = sum(n for _, _, n in counts)
    low, high = difference_interval(counts)
    assert -1 <= low < high <= 1
    right = clustered_interval([(a, n) for a, _, n in counts])
    assert 0 <= right[0] < right[1] <= 1
    if of:
        found = (sum(b for _, b, _ in counts) - sum(a for a, _, _ in counts)) / of
        assert low - 1e-12 <= found <= high + 1e-12
        share = sum(a for a, _, _ in counts) / of
        assert right[0] - 1e-12 <= share <= right[1] + 1e-12


@pytest.mark.parametrize(
    ("problems", "share", "alike"), [(8, 0.5, 3), (10, 0.95, 1), (30, 0.9, 1), (30, 0.9, 8)]
)
def test_intervals_have_their_nominal_coverage(problems: int, share: float, alike: int) -> None:
    """Correlated cases (beta distributed; a larger `alike` means less), sampled 600 times."""
    dice, held = random.Random(1), Counter[str]()
    for _ in range(600):
        counts, pairs = [], []
        for _ in range(problems):
            p, q = (dice.betavariate(share * alike, (1 - share) * alike) for _ in range(2))
            cases = [(dice.random() < p, dice.random() < q) for _ in range(3)]
            counts.append((sum(a for a, _ in cases), 3))
            pairs.append((cases.count((True, False)), cases.count((False, True)), 3))
        low, high = clustered_interval(counts)
        held["share"] += low <= share <= high
        low, high = difference_interval(pairs)
        held["difference"] += low <= 0 <= high
    assert min(held.values()) > 0.915 * 600
