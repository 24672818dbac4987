"""Parsing Python source is quiet and tells errors by their class."""

from __future__ import annotations

import ast
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from annoy_store.parsing.python_code import (
    bindings,
    mend_spaces,
    parse_expression,
    parse_module,
    try_parse_module,
)


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


def test_try_parse_module_is_none_for_invalid_code() -> None:
    assert try_parse_module("x = (") is None
    assert try_parse_module("x = 1") is not None


def test_mend_spaces_changes_nothing_inside_strings_and_comments() -> None:
    head, space = "def f():\n", "\u00a0"
    string, comment = f"'{space}'", f"#{space}it's"
    code = f'\ufeff{head}{space}{space}x\u2009= {string}  {comment}\n{space} return """\n\u200b"""'
    assert mend_spaces(code) == f'{head}  x = {string}  {comment}\n  return """\n\u200b"""'
    assert mend_spaces(f"s = {string}") == f"s = {string}"
    assert mend_spaces("s = \u201cx\u201d") == "s = \u201cx\u201d"


@pytest.mark.parametrize(
    "code",
    [
        *("def f(): pass", "async def f(): pass", "class f: pass", "f = 1", "f: int = 1"),
        *("import f", "import f.a", "import a as f", "from a import f", "from a import b as f"),
        *("try:\n  import a\nexcept OSError:\n  f = 1", "if 1:\n  pass\nelse:\n  f = 1"),
        *("with open(a) as f: pass", "for f in a: pass", "(f := 1)", "a, *f = b"),
        *("while 1:\n  f = 1", "match a:\n  case [f, *_]: pass"),
    ],
)
def test_bindings_tell_what_loading_binds(code: str) -> None:
    assert "f" in dict(bindings(parse_module(code)))


@pytest.mark.parametrize(
    "code", ["f: int", "f", "g(f=1)", "def g(f):\n  f = 1", "[f for f in a]", "a.f = 1", "'f'"]
)
def test_bindings_leave_out_other_scopes(code: str) -> None:
    assert "f" not in dict(bindings(parse_module(code)))


def test_bindings_give_the_last_node_last() -> None:
    found = dict(bindings(parse_module("async def f(): pass\nif 1:\n    def f(): pass")))
    assert isinstance(found["f"], ast.FunctionDef)
