"""Calls with known arguments are found in code, with what stands beside them."""

from __future__ import annotations

from annoy_store.parsing.python_code import parse_module
from annoy_store.parsing.shown_calls import MAX_STATEMENTS, CallFinder, ShownCall, read_comments


def calls(code: str) -> list[ShownCall]:
    finder = CallFinder()
    finder.read(parse_module(code), read_comments(code))
    return finder.found


def test_calls_take_names_from_assignments_and_loops() -> None:
    [one, two] = calls("k = 3\nfor x in ([1], [2]):\n    assert f(x, k=k) == 9\n")
    assert (one.name, one.arguments, one.keywords) == ("f", ([1],), {"k": 3})
    assert two.arguments == ([2],)
    assert one.values == (9,)


def test_calls_forget_names_that_were_changed() -> None:
    assert [c.name for c in calls("x = [1]\nx.append(2)\nf(x)\n")] == ["append"]
    assert calls("n = 1\nn += 1\nf(n)\n") == []
    found = calls("n = 1\nn = g()\nf(n)\n")  # `n` stands for the call of `g`
    assert found == [ShownCall("g", (), {})] * 2


def test_calls_keep_the_comments_beside_them() -> None:
    [call] = calls("f(1)  # gives\n# 2\n\n# 3\n")
    assert call.text == " gives\n 2"


def test_calls_keep_the_results_that_names_were_given() -> None:
    found = calls("r = f(1)\nassert r == 2\n")
    assert [(c.name, c.values) for c in found] == [("f", ()), ("f", (2,))]


def test_calls_of_deep_loops_are_bounded() -> None:
    code = "for a in range(200):\n  for b in range(200):\n    for c in range(200):\n      f(a)\n"
    assert len(calls(code)) <= MAX_STATEMENTS


def test_read_comments_of_code_that_cannot_be_tokenised() -> None:
    assert read_comments("x = (  # one\n") == {1: " one"}
