"""Calls with their results are found in running text."""

from __future__ import annotations

import pytest

from annoy_store.parsing.shown_texts import (
    calls_in_text,
    closing_bracket,
    find_examples,
    text_beside,
)


def found(text: str) -> dict[str, str]:
    return {f"{c.name}{c.arguments}": c.text for c in calls_in_text(text) if c.is_prose}


def test_calls_in_text_end_where_the_next_begins() -> None:
    texts = found("f(1) = 2, f(2) = 4")
    assert texts["f(1,)"].split() == ["=", "2,"]
    assert texts["f(2,)"].split() == [",", "=", "4"] or "4" in texts["f(2,)"]


def test_calls_in_text_read_on_where_the_line_ends() -> None:
    assert "3" in found("`f(1)`:\n\n3\n")["f(1,)"]
    assert "3" in found("f(1)\nOutput:\n```text\n3\n```")["f(1,)"]
    assert "3" not in found("f(1) is odd.\n3\n")["f(1,)"]


def test_calls_in_text_read_sessions_without_a_blank_line() -> None:
    sessions = [c for c in calls_in_text(">>> f(1)\n2\n>>> f(2)\n4\n") if not c.is_prose]
    assert [(c.arguments, c.text) for c in sessions] == [((1,), "2"), ((2,), "4")]


@pytest.mark.parametrize(
    ("text", "end"),
    [("(a)b", 3), ("([)]", None), ("('(')x", 5), ("(don't)", 7), ("((", None), ("[1, {2}]", 8)],
)
def test_closing_bracket(text: str, end: int | None) -> None:
    assert closing_bracket(text, 0) == end


def test_text_beside_holds_the_rest_of_the_line() -> None:
    text = "before X after\nnext"
    assert text_beside(text, 0, 7, 8) == "before \n after"


def test_find_examples_reads_code_that_is_not_python_as_prose() -> None:
    assert [c.arguments for c in find_examples("x = = f(1)", None, "").calls] == [(1,)]
