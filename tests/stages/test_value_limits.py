"""Size limits at their bounds, and the order in which pairs are asked about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.parsing.json_values import MAX_DEPTH
from annoy_store.stages.value_limits import order_by_distinct_output, size_violation

UNHURRIED = settings(deadline=None)  # how fast a machine is belongs in no test


def nest(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([0] * 19, None),
        ([0] * 20, "too_many_items"),
        ({"a": [[1] * 20]}, "too_many_items"),
        ({str(n): n for n in range(20)}, "too_many_items"),
        ("x" * 99, None),
        ("x" * 100, "string_too_long"),
        ({"x" * 100: 1}, "string_too_long"),
        ([["y" * 100]], "string_too_long"),
        (["é" * 99] * 5, None),  # 5 * (198 + 2) + 4 + 2 = 1006 bytes
        (["é" * 99] * 6, "too_many_bytes"),
        (10**1022, None),
        (10**1023, "too_many_bytes"),
        (nest(MAX_DEPTH), None),
        (nest(MAX_DEPTH + 1), "too_deep"),
        (float("nan"), "not_json"),
        ([float("inf")], "not_json"),
        ({1, 2}, "not_json"),
        ([10**5000], "not_json"),
        (None, None),
        ({}, None),
    ],
)
def test_size_violation_at_its_bounds(value: Any, reason: str | None) -> None:
    assert size_violation(value) == reason


def test_size_violation_takes_its_bounds_as_arguments() -> None:
    assert size_violation([1, 2, 3], max_items=3) == "too_many_items"
    assert size_violation("abc", max_string=3) == "string_too_long"
    assert size_violation([10, 20], max_value_bytes=7) == "too_many_bytes"
    assert size_violation([10, 20], max_value_bytes=8) is None


def test_size_violation_handles_extreme_nesting() -> None:
    value: Any = nest(100_000)
    assert size_violation(value) == "too_deep"
    while isinstance(value, list) and value:
        value = value.pop()


@pytest.mark.parametrize(
    ("outputs", "order"),
    [
        ([], []),
        (["1", "1", "2", "1", "2", "3"], [0, 2, 5, 1, 4, 3]),
        (['{"a":1,"b":2}', '{"b":2,"a":1}', "0"], [0, 2, 1]),
        (["true", "1", "true"], [0, 1, 2]),
    ],
)
def test_order_by_distinct_output(outputs: list[str], order: list[int]) -> None:
    assert order_by_distinct_output(outputs) == order


@given(st.lists(st.integers(0, 4) | st.booleans() | st.text("ab", max_size=1), max_size=12))
@UNHURRIED
def test_order_by_distinct_output_puts_distinct_outputs_first(values: list[Any]) -> None:
    outputs = [json.dumps(value) for value in values]
    order = order_by_distinct_output(outputs)
    assert sorted(order) == list(range(len(outputs)))
    distinct = len(set(outputs))
    assert len({outputs[index] for index in order[:distinct]}) == distinct
    assert order[:distinct] == sorted(order[:distinct])
    assert order_by_distinct_output(outputs) == order
