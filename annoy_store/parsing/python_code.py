"""Parses Python source without the warnings that it would cause, and tells which names it binds."""

from __future__ import annotations

import ast
import re
import threading
import warnings
from collections.abc import Iterator

from annoy_store.parsing.invisible import mend_outside

UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)

_WARNINGS_LOCK = threading.Lock()  # catch_warnings changes what all threads see
_STRING_OR_COMMENT = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|'
    r"'''(?:[^\\]|\\.)*?'''|"
    r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"|'
    r"'[^'\\\n]*+(?:\\.[^'\\\n]*+)*'|"
    r"#[^\n]*",
    re.DOTALL,
)


def parse_module(code: str) -> ast.Module:
    """Parse the source of a module, whatever the warning filters say.

    Raises:
        SyntaxError: It is not valid for the running Python.
        ValueError: It has null bytes or lone surrogates.
        RecursionError: It is nested too deeply.
        MemoryError: It is nested too deeply for the parser.
    """
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def parse_expression(code: str) -> ast.expr:
    """Parse the source of one expression; raises what `parse_module` raises."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code, mode="eval").body


def try_parse_module(code: str) -> ast.Module | None:
    """Return the tree of a module, None if `parse_module` raises."""
    try:
        return parse_module(code)
    except UNPARSABLE:
        return None


def mend_spaces(code: str) -> str:
    """Return valid code as it is, other code without invisible characters between its tokens.

    Outside of strings and comments such characters are always a syntax error, and spaces other
    than the plain one, as in indentation, can only mean plain ones.
    """
    if code.isascii() or try_parse_module(code) is not None:
        return code
    return mend_outside(code, _STRING_OR_COMMENT)


def bindings(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that a module binds when it is loaded, in order, each with its node.

    Conditional blocks, loops, `try` and `with` are part of the module; the bodies of functions,
    classes and comprehensions are not.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield from ((name, node) for name in _names(node))
        if not isinstance(node, _OWN_SCOPE):
            waiting += reversed(list(_parts(node)))


_OWN_SCOPE = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.Name):
        return [node.id] if isinstance(node.ctx, ast.Store) else []
    if isinstance(node, (ast.MatchAs, ast.MatchStar)):
        return [node.name] if node.name else []
    return []


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    if not (isinstance(node, ast.AnnAssign) and node.value is None):  # declares a name only
        yield from ast.iter_child_nodes(node)
