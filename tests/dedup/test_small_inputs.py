"""Small inputs have the types of known ones, and are few."""

from __future__ import annotations

from typing import Any

import pytest

from annoy_store.dedup.small_inputs import MAX_INPUTS, small_inputs


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ([[7]], [[0], [1], [2]]),
        ([[0.5]], [[0]]),
        ([["x"]], [[""], ["a"]]),
        ([[True]], [[False], [True]]),
        ([[5, 6]], [[0, 0], [0, 1], [1, 0], [1, 1]]),
        ([[[3, 4]]], [[[]], [[0]], [[1, 0]]]),
        ([[[]], [["x"]]], [[[]], [[""]]]),
        ([[[[1]]]], [[[]], [[[]]], [[[0]]]]),
        ([[{"a": 1}], [{"b": 2}]], [[{"a": 1}], [{"b": 2}]]),
        ([[None]], [[None]]),
    ],
)
def test_small_inputs_of_a_shape(known: list[list[Any]], wanted: list[list[Any]]) -> None:
    found = small_inputs(known)
    assert [values for values in wanted if values not in found] == []


def test_small_inputs_are_not_above_the_known_ones() -> None:
    assert small_inputs([[0], [1]]) == [[0], [1]]
    assert small_inputs([[1], [2]]) == [[0], [1], [2]]


def test_small_inputs_are_few() -> None:
    assert small_inputs([]) == []
    assert small_inputs([[]]) == [[]]
    many = small_inputs([[1] * 9])
    assert [0] * 9 in many
    assert len(many) <= MAX_INPUTS
