"""Values of text that is JSON or close to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.parsing.json_values import (
    MAX_DEPTH,
    JsonValue,
    UnsupportedValue,
    children,
    is_too_deep,
    parse_value,
    to_json_value,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (" [1, 2,] ", [1, 2]),
        ("(1, 'a')", [1, "a"]),
        ("{1: None}", {"1": None}),
        ("[true, False]", [True, False]),
        ("\\{'a': 1\\}", {"a": 1}),
    ],
)
def test_parse_value_accepts_json_and_python(text: str, value: Any) -> None:
    assert parse_value(text) == JsonValue(value, json.dumps(value, separators=(",", ":")))


@pytest.mark.parametrize("text", ["", "hello", "[1", "f(1)", "x" * 70_000])
def test_parse_value_is_none_for_other_text(text: str) -> None:
    assert parse_value(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", "[Infinity]", "-inf", "1e999", "9" * 4301, "[" * 66 + "]" * 66),
        *('{"a": 1, "a": 2}', "[{'a': 1, 'a': 1}]", "{1: 0, '1': 0}", "{1.5: 0, '1.5': 0}"),
        *("{True: 0, 'true': 0}", "{1: 0, True: 0}", '"\\ud800"', "['\\udfff',]"),
    ],
)
def test_parse_value_rejects_unsupported_values(text: str) -> None:
    with pytest.raises(UnsupportedValue):
        parse_value(text)


@settings(deadline=None)
@given(st.text(max_size=20))
def test_parse_value_raises_nothing_else(text: str) -> None:
    try:
        found = parse_value(text)
    except UnsupportedValue:
        return
    assert found is None or json.loads(found.text) == found.value


def test_to_json_value_converts_tuples_and_keys() -> None:
    assert to_json_value({1: (2, 3)}).value == {"1": [2, 3]}
    with pytest.raises(TypeError):
        to_json_value({1, 2})
    for value in (float("nan"), {1: 0, "1": 0}, ["\ud83d", {"\ude00": 0}]):
        with pytest.raises(UnsupportedValue):
            to_json_value(value)


def test_parse_value_takes_the_last_draft_in_the_outermost_object_only() -> None:
    for text in ('{"a": 1, "a": [2]}', "{'a': 1, 'a': [2],}"):
        found = parse_value(text, drafts=True)
        assert found is not None
        assert found.value == {"a": [2]}
    for text in ('{"a": {"b": 1, "b": 2}}', "{'a': {'b': 1, 'b': 2},}"):
        with pytest.raises(UnsupportedValue):
            parse_value(text, drafts=True)


def test_is_too_deep_counts_levels_of_containers() -> None:
    value: Any = 0
    for _ in range(MAX_DEPTH):
        value = [value]
    assert not is_too_deep(value)
    assert is_too_deep({"a": value})
    assert children({"a": 1, "b": 2}) == [1, 2]
    assert children("ab") == []
