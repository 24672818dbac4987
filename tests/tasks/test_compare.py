"""The comparator: the table of the rule, its algebra, and the kinds of difference."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.tasks.compare import KINDS, mismatch, same

UNHURRIED = settings(deadline=None)  # how fast a machine is belongs in no test

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
WILD = st.recursive(
    LEAVES | st.floats() | st.integers(min_value=10**400, max_value=10**410),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("expected", "predicted", "equal"),
    [
        (0.5, 0.5, True),
        (3, 3.0, True),
        ({"a": 1.0}, {"a": 1.0}, True),
        (1000.5, 1000.9, True),
        (1000.5, 1002.0, False),  # another integer part
        (3.0, 2.9999, False),
        (0.0, 1e-12, False),
        (0.0, -0.0, True),
        (-0.5, 0.5, False),
        (1, True, False),
        (0, False, False),
        (1.0, True, False),
        (True, True, True),
        (None, None, True),
        (None, 0, False),
        ("1", 1, False),
        ("a", "a ", False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ([], {}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": None}, {}, False),
        ([[0.1, {"x": [1.0004]}]], [[0.1, {"x": [1.0]}]], True),
        (math.nan, math.nan, False),
        (math.inf, math.inf, False),
        (10**400, 10**400, True),
        (10**400, 1e308, False),
        (10**17 + 1, 1e17, False),
    ],
)
def test_the_rule(expected: Any, predicted: Any, equal: bool) -> None:
    assert same(expected, predicted) is equal
    assert same(predicted, expected) is equal
    assert (mismatch(expected, predicted) is None) is equal


def test_the_rule_is_a_setting() -> None:
    assert same(3.0, 2.9999, same_integer_part=False)
    assert not same(1.0, 1.0004, tolerance=1e-6)
    assert same(1.0, 1.0004, tolerance=1e-3)
    assert same(1.0, 1, tolerance=0.0)


@pytest.mark.parametrize(
    ("expected", "predicted", "kind"),
    [
        (1, "1", "type"),
        (1, True, "type"),
        ([1], {"0": 1}, "type"),
        (5, None, "type"),
        ([1, 2], [], "empty"),
        ("abc", "", "empty"),
        ({"a": 1}, {}, "empty"),
        ([1, 2, 3], [1, 2], "truncated"),
        ("abcdef", "abc", "truncated"),
        ([1, 2, 3], [1, 3], "length"),
        ([1], [1, 2], "length"),
        ([], [1], "length"),
        ("abc", "abxxc", "length"),
        ([1, 2, 3], [3, 1, 2], "order"),
        ([{"a": 1, "b": 2}, 5], [5, {"b": 2, "a": 1}], "order"),
        ("abc", "cab", "order"),
        ({"a": 1, "b": 2}, {"a": 1}, "key_missing"),
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, "key_missing"),
        ({"a": 1}, {"a": 1, "b": 2}, "key_extra"),
        (5, -5, "sign"),
        (-0.25, 0.25, "sign"),
        (7, 8, "off_by_one"),
        (7.5, 6.5, "off_by_one"),
        (10**400, 10**400 + 1, "off_by_one"),
        (3.14159, 3.1, "rounding"),
        (2.9999, 3.0, "rounding"),
        (3.7, 3, "rounding"),
        (0.6667, 0.67, "rounding"),
        (5.25, 500.0, "value"),
        (12, 97, "value"),
        (10**400, 1.5, "value"),
        ("Yes", "yes", "case"),
        ("a b", "ab", "whitespace"),
        ("abc", "abd", "value"),
        (True, False, "value"),
        ([1, 5, 9], [1, 6, 9], "off_by_one"),
        ([1, 5, 9], [1, 6, 90], "value"),
        ({"a": [3, 4], "b": "x"}, {"a": [4, 4], "b": "x"}, "off_by_one"),
    ],
)
def test_kinds(expected: Any, predicted: Any, kind: str) -> None:
    assert mismatch(expected, predicted) == kind


@given(VALUES)
@UNHURRIED
def test_everything_finite_equals_itself(value: Any) -> None:
    assert same(value, value)
    assert mismatch(value, value) is None


@given(NUMBERS, NUMBERS | st.floats(min_value=0.999, max_value=1.001))
@UNHURRIED
def test_numbers_compare_alike_both_ways(left: float, right: float) -> None:
    try:
        near = left * right
    except OverflowError:
        near = right
    for other in (right, near):
        assert same(left, other) is same(other, left)


@given(WILD, WILD)
@settings(max_examples=200, deadline=None)
def test_never_raises_and_agrees_with_itself(left: Any, right: Any) -> None:
    equal = same(left, right)
    assert equal is same(right, left)
    kind = mismatch(left, right)
    assert (kind is None) is equal
    assert kind is None or kind in KINDS


@given(VALUES)
@UNHURRIED
def test_no_other_type_inside_goes_unseen(value: Any) -> None:
    assert not same([value, 1], [value, True])
    assert not same({"k": [value, "1"]}, {"k": [value, 1]})


def test_depth_and_size_are_no_trouble() -> None:
    deep: Any = 1
    other: Any = 2
    for _ in range(100_000):
        deep, other = [deep], [other]
    assert same(deep, deep)
    assert not same(deep, other)
    assert mismatch(deep, other) == "value"
    assert mismatch([10**5000, 1], [10**5000, 3]) == "value"
    while isinstance(deep, list):  # taken apart by hand: freeing it at once would recurse
        deep, other = deep.pop(), other.pop()
