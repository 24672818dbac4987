"""Evaluates expressions that are literals, or built of literals as tests build them.

Decisions. Nothing of the examined code is called: only constants, containers, arithmetic on them,
known names and the conversions listed here have a value. Sizes are bounded, so that no expression
takes long or gives a large value.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

MAX_SIZE = 10_000  # items of a container, characters of a text that arithmetic makes
_MAX_NUMBER = 10**400

_CONVERSIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "bool": bool,
    "chr": chr,
    "dict": dict,
    "enumerate": lambda *parts: list(enumerate(*parts)),
    "float": float,
    "frozenset": frozenset,
    "int": int,
    "len": len,
    "list": list,
    "max": max,
    "min": min,
    "ord": ord,
    "range": range,
    "reversed": lambda items: list(reversed(items)),
    "round": round,
    "set": set,
    "sorted": sorted,
    "str": str,
    "sum": sum,
    "tuple": tuple,
    "zip": lambda *parts: list(zip(*parts, strict=False)),
}
_WRAPPERS = {"array", "asarray", "deque", "OrderedDict"}  # of a value; JSON has only the value
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class NotLiteral(Exception):
    """The value of an expression is not known without running the code."""


def literal_value(node: ast.expr, names: Mapping[str, Any] | None = None) -> Any:
    """Return the value of an expression.

    Args:
        node: The expression.
        names: Values of names.

    Raises:
        NotLiteral: The expression is not built of literals, or its value is too large.
    """
    try:
        return _value(node, names or {})
    except _ERRORS:
        raise NotLiteral(ast.dump(node)[:80]) from None


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in names:
            return names[node.id]
        case ast.Attribute(value=ast.Name("self")) if f"self.{node.attr}" in names:
            return names[f"self.{node.attr}"]
        case ast.List():
            return _items(node.elts, names)
        case ast.Tuple():
            return tuple(_items(node.elts, names))
        case ast.Set():
            return set(_items(node.elts, names))
        case ast.Dict():
            return _dict(node, names)
        case ast.UnaryOp() if type(node.op) in _UNARY:
            return _UNARY[type(node.op)](_value(node.operand, names))
        case ast.BinOp() if type(node.op) in _OPERATORS:
            return _arithmetic(node, names)
        case ast.Subscript():
            return _value(node.value, names)[_index(node.slice, names)]
        case ast.Call():
            return _converted(node, names)
    raise NotLiteral(ast.dump(node)[:80])


def _items(nodes: list[ast.expr], names: Mapping[str, Any]) -> list[Any]:
    items: list[Any] = []
    for node in nodes:
        if isinstance(node, ast.Starred):
            items += _value(node.value, names)
        else:
            items.append(_value(node, names))
    return items


def _dict(node: ast.Dict, names: Mapping[str, Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            found |= _value(value, names)
        else:
            found[_value(key, names)] = _value(value, names)
    return found


def _index(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if not isinstance(node, ast.Slice):
        return _value(node, names)
    parts = (node.lower, node.upper, node.step)
    return slice(*(None if part is None else _value(part, names) for part in parts))


def _arithmetic(node: ast.BinOp, names: Mapping[str, Any]) -> Any:
    left, right = _value(node.left, names), _value(node.right, names)
    for one, other in ((left, right), (right, left)):
        if isinstance(one, (str, list, tuple)):
            n = other if isinstance(other, int) else len(other)
            size = len(one) * n if isinstance(node.op, ast.Mult) else len(one) + n
            if size > MAX_SIZE or isinstance(node.op, ast.Mod):
                raise NotLiteral("large, or formatted text")
    if isinstance(node.op, ast.Pow) and (abs(right) > 400 or abs(left) > 10**6):
        raise NotLiteral("large number")
    value = _OPERATORS[type(node.op)](left, right)
    if isinstance(value, int) and abs(value) > _MAX_NUMBER:
        raise NotLiteral("large number")
    return value


def _converted(node: ast.Call, names: Mapping[str, Any]) -> Any:
    arguments = _items(node.args, names)
    named = {k.arg: _value(k.value, names) for k in node.keywords if k.arg is not None}
    if len(named) < len(node.keywords):
        raise NotLiteral("keywords from a dict")
    called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if isinstance(node.func, ast.Name):
        called = node.func.id
        if called in _CONVERSIONS and called not in names:
            if called == "range" and len(range(*arguments)) > MAX_SIZE:
                raise NotLiteral("large range")
            return _CONVERSIONS[called](*arguments, **named)
    elif called == "items" and not arguments and isinstance(node.func, ast.Attribute):
        return list(_value(node.func.value, names).items())
    if called in _WRAPPERS and len(arguments) == 1:
        return arguments[0]
    raise NotLiteral(called)
