"""Read the calls and expected values in doctests and asserts as literals; nothing is executed."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annoy_store.parsing.python_code import parse_expression

_EQUAL = {"assertEqual", "assertEquals", "assertAlmostEqual", "assertListEqual", "assertDictEqual"}
_TRUE = {"assertTrue": True, "assertFalse": False}
Functions = Mapping[str, ast.FunctionDef]


@dataclass(frozen=True)
class CallExample:
    """One literal call of a function and its expected value.

    Attributes:
        name: Name of the function.
        arguments: Arguments by parameter name.
        value: The expected value.
    """

    name: str
    arguments: Mapping[str, Any]
    value: Any


def parameter_names(function: ast.FunctionDef) -> list[str]:
    """Return the names of a function's parameters."""
    return [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]


def doctest_examples(functions: Functions) -> Iterator[CallExample]:
    """Yield the literal doctest examples in the docstrings of `functions`."""
    for function in functions.values():
        docstring = ast.get_docstring(function) or ""
        try:
            found = doctest.DocTestParser().get_examples(docstring) if ">>>" in docstring else []
        except ValueError:
            continue
        for example in found:
            call = _expression(example.source)
            value = _expression(example.want)
            if call is not None and value is not None:
                yield from _example(call, value, functions)


def _expression(text: str) -> ast.expr | None:
    try:
        return parse_expression(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def assert_examples(tree: ast.AST, functions: Functions) -> Iterator[CallExample]:
    """Yield the literal calls that asserts and unittest methods in `tree` check, in order.

    Args:
        tree: A syntax tree.
        functions: The functions whose calls count, by name.
    """
    for node in _in_order(tree):
        if isinstance(node, ast.Assert):
            yield from _claim(node.test, functions)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in _EQUAL and len(node.args) >= 2:
                yield from _either(node.args[0], node.args[1], functions)
            elif node.func.attr in _TRUE and node.args:
                constant = ast.Constant(_TRUE[node.func.attr])
                yield from _example(node.args[0], constant, functions)


def _in_order(tree: ast.AST) -> Iterator[ast.AST]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(list(ast.iter_child_nodes(node)))


def _claim(test: ast.expr, functions: Functions) -> Iterator[CallExample]:
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], (ast.Eq, ast.Is)):
            yield from _either(test.left, test.comparators[0], functions)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _example(test.operand, ast.Constant(False), functions)
    elif isinstance(test, ast.Call):
        yield from _example(test, ast.Constant(True), functions)


def _either(left: ast.expr, right: ast.expr, functions: Functions) -> Iterator[CallExample]:
    yield from _example(left, right, functions)
    yield from _example(right, left, functions)


def _example(call: ast.expr, value: ast.expr, functions: Functions) -> list[CallExample]:
    """The example of a literal call and its literal value, if it is one."""
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        return []
    function = functions.get(call.func.id)
    if function is None or any(k.arg is None for k in call.keywords):
        return []
    try:
        given = [ast.literal_eval(argument) for argument in call.args]
        named = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        expected = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return []
    names = parameter_names(function)
    if len(given) > len(function.args.args) or not set(named) <= set(names):
        return []
    return [CallExample(function.name, dict(zip(names, given, strict=False)) | named, expected)]
