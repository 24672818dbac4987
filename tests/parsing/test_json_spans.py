"""Spans of JSON objects are found in linear time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.parsing.json_spans import ObjectSpans


def operations(work: Callable[[], object]) -> int:
    """Count the lines that `work` executes: a measure of work that no clock disturbs."""
    count = 0

    def tracer(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return tracer

    work()  # patterns are compiled once and not counted
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_object_spans_outermost_are_not_nested() -> None:
    spans = ObjectSpans('{"a": {"a": 1}} { {"b": {"a": 2}}', "a")
    assert [spans.text[start:end] for start, end in spans.outermost()] == [
        '{"a": {"a": 1}}',
        '{"a": 2}',
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        "{",
        "[{",
        '{"',
        "{'\"{",
        '{"{":',
        '{"output":',
        '{"{"\n',
        '{"\\"',
        "{'it's {",
        '"{\'{"\n',
        '{"a":[{"output":1},',
        "\\boxed{",
        "{]",
        "{\"'{'\"",
    ],
)
def test_object_spans_take_linear_time(hostile: str) -> None:
    for suffix in ("", "}", "\n"):
        small, large = (
            operations(partial(ObjectSpans, hostile * n + suffix * n, "output")) for n in (50, 500)
        )
        assert large <= 10.5 * small


@given(st.text("{}[]\"'\\\n:a", max_size=60))
@settings(deadline=None)
def test_object_spans_take_bounded_time_for_any_text(text: str) -> None:
    assert operations(lambda: ObjectSpans(text * 5, "a")) <= 30 * len(text * 5) + 100
