"""Finds rows of values in Python code, as tables of test cases and calls of test helpers hold them.

Decisions. A row is a list, a tuple, an entry or the values of a dict, or the arguments of a call,
without the functions among them. Nothing is executed. A row counts as a test if what holds it says
so by its name (`TESTS = [(5, 7)]`, `check(f, 5, 7)`), since code has tables for other ends too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.parsing.literal_values import NotLiteral, literal_value

MAX_ROWS = 2_000
_MAX_MEMBERS = 20
_TEST = re.compile(
    r"(?:^|_|\b)(?:tests?|cases?|examples?|samples?|expect(?:ed|s)?|checks?|verify|asserts?|param|data_?set)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ShownRow:
    """A row of values; `is_test` if it is a test case by its name."""

    values: tuple[Any, ...]
    is_test: bool


def find_rows(tree: ast.Module) -> list[ShownRow]:
    """Return the rows of a module with two members or more, at most `MAX_ROWS`."""
    tests: set[int] = set()  # ids of nodes inside of what is named as a test
    found: list[ShownRow] = []
    for node in ast.walk(tree):  # parents come before their children
        if _names_tests(node):
            tests.update(id(part) for part in ast.walk(node))
        for members in _rows(node):
            values = _values(members)
            if len(values) > 1:
                found.append(ShownRow(values, id(node) in tests))
        if len(found) >= MAX_ROWS:
            break
    return found


def _names_tests(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        return any(_TEST.search(_name(target)) for target in node.targets)
    if isinstance(node, ast.AnnAssign):
        return _TEST.search(_name(node.target)) is not None
    if isinstance(node, ast.keyword):
        return node.arg == "params" or _TEST.search(node.arg or "") is not None
    if isinstance(node, ast.Call):
        return _TEST.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", _name(node.func))) is not None
    return isinstance(node, ast.FunctionDef) and node.name.lower().startswith("test")


def _rows(node: ast.AST) -> Iterator[Sequence[ast.expr]]:
    if isinstance(node, (ast.List, ast.Tuple)):
        yield node.elts
    elif isinstance(node, ast.Call):
        yield [*node.args, *(keyword.value for keyword in node.keywords)]
    elif isinstance(node, ast.Dict):
        yield node.values
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                yield (key, value)


def _values(members: Iterable[ast.expr]) -> tuple[Any, ...]:
    """The values of a row; none if one is neither a literal nor a name."""
    found: list[Any] = []
    for member in list(members)[: _MAX_MEMBERS + 1]:
        try:
            found.append(literal_value(member))
        except NotLiteral:
            if not isinstance(member, (ast.Name, ast.Attribute)):
                return ()
    return tuple(found) if len(found) <= _MAX_MEMBERS else ()


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
