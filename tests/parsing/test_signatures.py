"""Calls of a function and of its helpers are bound to the function's parameters."""

from __future__ import annotations

from annoy_store.parsing.python_code import parse_module
from annoy_store.parsing.signatures import Callables, find_callables


def callables(code: str) -> Callables:
    return find_callables(parse_module(code), "main_solution", [])


def test_find_callables_binds_positions_names_and_defaults() -> None:
    main = callables("def main_solution(a, b=2, *, c=3):\n    pass\n").main
    assert main.bind((1,), {}) == {"a": 1, "b": 2, "c": 3}
    assert main.bind((1, 5), {"c": 6}) == {"a": 1, "b": 5, "c": 6}
    assert main.bind((1, 2, 3), {}) is None
    assert main.bind((1,), {"d": 1}) is None


def test_find_callables_follows_arguments_to_helpers() -> None:
    found = callables(
        "def inner(q, p):\n    pass\n"
        "def helper(x, y):\n    rows = [tuple(r) for r in x]\n    return inner(y, p=rows)\n"
        "def other(x):\n    pass\n"
        "def main_solution(a, b):\n    other(a)\n    return str(helper(set(a), b))\n"
    )
    inner, other = found.find("inner"), found.find("other")
    assert inner is not None
    assert inner.bind((1, [2]), {}) == {"a": [2], "b": 1}
    assert other is None


def test_find_callables_does_not_take_changed_arguments_for_the_function_s() -> None:
    found = callables("def h(n):\n    pass\ndef main_solution(n):\n    return h(n - 1)\n")
    assert found.find("h") is None


def test_find_callables_takes_unknown_names_for_older_ones() -> None:
    found = callables("import math\ndef main_solution(n):\n    pass\n")
    assert found.find("fib") is found.main
    assert found.find("math") is None
    assert found.find("sorted") is None


def test_find_callables_without_code_uses_the_given_parameters() -> None:
    assert find_callables(None, "f", ["a", "b"]).main.bind((1, 2), {}) == {"a": 1, "b": 2}
