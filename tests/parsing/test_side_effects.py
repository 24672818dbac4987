"""Statements that may change the rest of their module are told from those that only test."""

from __future__ import annotations

import pytest

from annoy_store.parsing.python_code import parse_module
from annoy_store.parsing.side_effects import SideEffects

HEAD = """
from functools import lru_cache
import math
memo, total = {}, 0

def pure(n):
    rows = []
    rows.append(n)
    rows[0] += math.sqrt(n)
    return sorted(rows)

def counts(n):
    global total
    total += n
    return n

def keeps(n):
    memo[n] = n
    return n

def calls(n):
    return keeps(n) + calls(n - 1) if n else 0

class Box:
    def __init__(self, n):
        self.n = n

    def fill(self):
        memo.update(a=1)
"""


@pytest.mark.parametrize(
    ("statement", "acts"),
    [
        ("print(pure(3))", False),
        ("assert pure(3) == [4.7]", False),
        ("assert math.gcd(4, 6) == 2", False),
        ("print(Box(3).n)", False),
        ("print([pure(n) for n in range(3)])", False),
        ("print(counts(3))", True),
        ("assert keeps(3)", True),
        ("print(calls(3))", True),
        ("print(memo.pop(1))", True),
        ("assert (x := 3)", True),
        ("print(Box(3).fill())", True),
        ("print(exec('memo = 1'))", True),
        ("def test_it():\n    keeps(1)", False),
        ("@register\ndef test_it(): pass", True),
        ("@pytest.mark.slow\ndef test_it(): pass", False),
    ],
)
def test_may_change(statement: str, acts: bool) -> None:
    tree = parse_module(HEAD + statement)
    assert SideEffects(tree).may_change(tree.body[-1]) is acts
