"""Rows of values in code: tables of test cases, and calls of test helpers."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from annoy_store.parsing.shown_rows import MAX_ROWS, find_rows


@pytest.mark.parametrize(
    ("code", "row", "is_test"),
    [
        ("TESTS = [(5, 7)]", (5, 7), True),
        ("expected = {5: 7}", (5, 7), True),
        ("CASES = [{'args': [5], 'want': 7}]", ([5], 7), True),
        ("check(f, 5, 7)", (5, 7), True),
        ("runTest(5, want=7)", (5, 7), True),
        ("Case(5, 7)", (5, 7), True),
        ("@pytest.fixture(params=[(5, 7)])\ndef f(request):\n    return request", (5, 7), True),
        ("@pytest.fixture\ndef test_x():\n    return (5, 7)", (5, 7), True),
        ("TABLE = [(5, 7)]", (5, 7), False),
        ("latest = [(5, 7)]", (5, 7), False),
        ("f(5, 7)", (5, 7), False),
    ],
)
def test_find_rows(code: str, row: tuple[Any, ...], is_test: bool) -> None:
    found = find_rows(ast.parse(code))
    assert [one.is_test for one in found if one.values == row] == [is_test]


def test_find_rows_skips_what_is_not_literal() -> None:
    assert find_rows(ast.parse("check(g(5), 7)\nTESTS = [(n + 1, 7), (5,)]")) == []


def test_find_rows_is_bounded() -> None:
    assert len(find_rows(ast.parse("T = [" + "(1, 2)," * (2 * MAX_ROWS) + "]"))) == MAX_ROWS
