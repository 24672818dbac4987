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

def adds(items):
    items.append(1)
    return items

def reads(items):
    return items.get(1)

def collects(n, found=[]):
    found.append(n)
    return found

def numbers(n):
    numbers.last = n
    return n

class Counter:
    n = 0
    def go(self):
        type(self).n += 1

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
        ("assert next(memo)", True),
        ("assert heapq.heapify(memo) is None", True),
        ("assert list(map(memo.pop, [1]))", True),
        ("assert len(memo) == 0", False),
        ("assert adds(memo)", True),
        ("assert adds([])", False),
        ("assert reads(memo) is None", False),
        ("assert collects(1) == [1]", True),
        ("assert numbers(1) == 1", True),
        ("assert Counter().go() is None", True),
        ("def test_it():\n    keeps(1)", False),
        ("@register\ndef test_it(): pass", True),
        ("@pytest.mark.slow\ndef test_it(): pass", False),
    ],
)
def test_may_change(statement: str, acts: bool) -> None:
    tree = parse_module(HEAD + statement)
    assert SideEffects(tree).may_change(tree.body[-1]) is acts


def test_side_effects_of_a_class_whose_base_counts_its_subclasses() -> None:
    code = "class B:\n    def __init_subclass__(cls): pass\n\nclass TestX(B): pass\n"
    tree = parse_module(code)
    assert SideEffects(tree).may_change(tree.body[-1])
