"""Parsing Python source is quiet and tells errors by their class."""

from __future__ import annotations

import ast
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from annoy_store.parsing.python_code import parse_expression, parse_module


def test_parse_module_gives_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = parse_module("x = '\\d'\nassert (x, 'always')\n")
    assert [type(node) for node in tree.body] == [ast.Assign, ast.Assert]


def test_parse_module_is_quiet_in_many_threads() -> None:
    with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor(4) as pool:
        warnings.simplefilter("always")
        trees = list(pool.map(parse_module, ["x = '\\d'\n"] * 40))
    assert len(trees) == 40
    assert caught == []


@pytest.mark.parametrize("code", ["def f(:", "x = \0", "\ud800"])
def test_parse_module_raises_for_invalid_code(code: str) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        parse_module(code)


def test_parse_expression_returns_the_expression() -> None:
    assert ast.literal_eval(parse_expression("[1, (2,)]")) == [1, (2,)]
    with pytest.raises(SyntaxError):
        parse_expression("x = 1")
