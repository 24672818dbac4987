"""Expressions built of literals have the value that Python gives them; others have none."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.parsing.literal_values import NotLiteral, literal_value
from annoy_store.parsing.python_code import parse_expression


@pytest.mark.parametrize(
    "text",
    [
        "-3",
        "2 ** 10",
        "[0] * 5 + [1]",
        "{'a': (1, 2), **{'b': [3]}}",
        "[*range(3), 4]",
        "sorted({3, 1, 2})",
        "x[0]",
        "d['k'][1:]",
        "list(d.items())",
        "list(zip([1, 2], 'ab'))",
        "not True",
        "dict(a=1)",
        "float('1e3')",
        "'ab' * 2",
    ],
)
def test_literal_value_is_what_python_gives(text: str) -> None:
    names = {"x": [5, 6], "d": {"k": [1, 2, 3]}}
    assert literal_value(parse_expression(text), names) == eval(text, {}, dict(names))


@pytest.mark.parametrize(
    "text",
    [
        "y",
        "f(1)",
        "open('a')",
        "10 ** 10 ** 10",
        "'a' * 10 ** 9",
        "range(10 ** 9)",
        "[x for x in (1, 2)]",
        "'%s' % 3",
        "(1).__class__",
        "x[9]",
        "1 / 0",
        "int('x')",
        "{[]: 1}",
    ],
)
def test_literal_value_of_anything_else_is_unknown(text: str) -> None:
    with pytest.raises(NotLiteral):
        literal_value(parse_expression(text), {"x": [1]})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
        max_leaves=10,
    )
)
def test_literal_value_of_any_repr(value: object) -> None:
    assert literal_value(ast.parse(repr(value), mode="eval").body) == value
