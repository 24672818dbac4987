"""The parameters of one function, each with the shape that the file gives reason to expect.

Trust falls in this order: annotation, docstring, examples (calls, doctests, `x = [..]` in a
description), default, use, name. What an earlier source leaves open, a later one fills in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from annoy_store.inference.backends.tracer.example_values import example_values
from annoy_store.inference.backends.tracer.source_file import SourceFile, Unsuitable
from annoy_store.inference.backends.tracer.types_from_usage import type_from_usage
from annoy_store.inference.backends.tracer.value_types import (
    ValueType,
    merge_types,
    type_from_annotation,
    type_from_name,
    type_from_text,
    type_of_value,
    type_of_values,
)

_MAX_PARAMETERS = 6


@dataclass(frozen=True)
class Parameter:
    """One argument of the function: its shape, and the examples seen."""

    name: str
    value_type: ValueType
    examples: tuple[Any, ...] = ()


def infer_parameters(
    func: ast.FunctionDef, source: SourceFile, doc: str, is_method: bool
) -> tuple[Parameter, ...]:
    """Return what the function has to be given. Raises Unsuitable where a shape cannot be told."""
    arguments = func.args
    positional = [*arguments.posonlyargs, *arguments.args][1 if is_method else 0 :]
    defaults: list[ast.expr | None] = [None] * len(positional)
    defaults[len(positional) - len(arguments.defaults) :] = arguments.defaults
    defaults = defaults[-len(positional) :] if positional else []
    seen = example_values(func.name, [arg.arg for arg in positional], source, doc)
    found = []
    for arg, default in zip(positional, defaults, strict=True):
        parameter = _parameter(arg, default, func, source, doc, seen)
        if parameter is None:
            break
        found.append(parameter)
    if any(default is None for default in arguments.kw_defaults):
        raise Unsuitable(f"{func.name} demands keyword arguments")
    if not 1 <= len(found) <= _MAX_PARAMETERS:
        raise Unsuitable(f"{func.name} takes {len(found)} arguments that can be drawn")
    return tuple(found)


def _parameter(
    arg: ast.arg,
    default: ast.expr | None,
    func: ast.FunctionDef,
    source: SourceFile,
    doc: str,
    given: Mapping[str, list[Any]],
) -> Parameter | None:
    """Return the parameter; None for one that is better left at its default, with all after it."""
    annotated = type_from_annotation(arg.annotation)
    if annotated is None and arg.annotation is not None and not _is_open(arg.annotation):
        raise Unsuitable(f"{func.name} takes {arg.arg} of type {ast.unparse(arg.annotation)}")
    seen = given.get(arg.arg, [])
    if default is not None and annotated is None and not seen and not _is_plain(default):
        return None
    shape = merge_types(annotated, _from_doc(arg.arg, doc))
    shape = merge_types(shape, type_of_values(seen) if seen else None)
    if isinstance(default, ast.Constant) and default.value is not None:
        shape = merge_types(shape, type_of_value(default.value))
    used = type_from_usage(arg.arg, func, source.functions)
    if _has_objects(used):
        raise Unsuitable(f"{func.name} takes {arg.arg}, an object of its own kind")
    shape = merge_types(shape, used)
    shape = merge_types(shape, type_from_name(arg.arg))
    if shape is None or shape.kind == "none":
        raise Unsuitable(f"the type of {arg.arg} in {func.name} cannot be told")
    return Parameter(arg.arg, with_bounds(shape, arg.arg, func), tuple(seen))


def _has_objects(shape: ValueType | None) -> bool:
    return shape is not None and (shape.kind == "object" or any(map(_has_objects, shape.items)))


def _is_open(annotation: ast.expr) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id in ("Any", "object", "T")


def _is_plain(default: ast.expr) -> bool:
    return isinstance(default, ast.Constant) and isinstance(default.value, (int, float, str))


def _from_doc(name: str, doc: str) -> ValueType | None:
    """Read `:type name: T`, `:param T name:`, `name (T):`, `name : T` and `@param name: T`."""
    escaped = re.escape(name)
    for rule in (
        rf"[:@]type\s+{escaped}\s*:\s*([^\n]+)",
        rf"[:@]param\s+([\w\[\], ]+?)\s+{escaped}\s*:",
        rf"^\s*{escaped}\s*\(([^)\n]+)\)\s*:",
        rf"^\s*{escaped}\s*:\s*([^\n]+)",
        rf"@?param\s+{escaped}\s*:\s*([^\n]+)",
    ):
        match = re.search(rule, doc, re.MULTILINE)
        shape = type_from_text(match[1]) if match else None
        if shape:
            return shape
    return None


def with_bounds(shape: ValueType, name: str, func: ast.FunctionDef) -> ValueType:
    """Add what the function itself says about the values of a parameter."""
    if shape.choices:
        return shape
    if shape.kind in ("int", "float"):
        low, high = _guards(name, func)
        return replace(shape, low=low, high=high)
    if shape.kind == "str":
        return _lettered(shape, name, func)
    if shape.kind == "list" and shape.items:
        return replace(shape, items=(_celled(shape.items[0], name, func),))
    return shape


def _celled(item: ValueType, name: str, func: ast.FunctionDef) -> ValueType:
    """Give the letters of a grid of letters: those that the code compares with."""
    if item.kind != "list" or item.item.kind != "str":
        return item
    letters = _lettered(item.item, name, func).alphabet
    return replace(item, items=(ValueType("str", choices=tuple(letters)),)) if letters else item


def _guards(name: str, func: ast.FunctionDef) -> tuple[float | None, float | None]:
    """Read `if n < 0: raise` and its kin: the values that the function refuses."""
    low: float | None = None
    high: float | None = None
    for node in ast.walk(func):
        if not isinstance(node, ast.If) or not any(isinstance(s, ast.Raise) for s in node.body):
            continue
        for part in ast.walk(node.test):
            match part:
                case ast.Compare(ast.Name(id=found), [op], [ast.Constant(value=edge)]):
                    pass
                case ast.Compare(
                    ast.Name(id=found), [op], [ast.UnaryOp(ast.USub(), ast.Constant(value=edge))]
                ):
                    edge = -edge if isinstance(edge, (int, float)) else edge
                case _:
                    continue
            if found != name or isinstance(edge, bool) or not isinstance(edge, (int, float)):
                continue
            if isinstance(op, (ast.Lt, ast.LtE)):
                low = edge + isinstance(op, ast.LtE)
            elif isinstance(op, (ast.Gt, ast.GtE)):
                high = edge - isinstance(op, ast.GtE)
    return low, high


def _lettered(shape: ValueType, name: str, func: ast.FunctionDef) -> ValueType:
    """Take choices from `mode == "add"`, and the alphabet from single characters in the code."""
    words, letters = [], []
    for node in ast.walk(func):
        if isinstance(node, ast.Compare) and _is_named(node.left, name):
            words += [text for side in node.comparators for text in _texts(side)]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            letters += [node.value] if len(node.value) == 1 else []
    whole = [word for word in words if len(word) > 1]
    if len(whole) >= 2:
        return replace(shape, choices=tuple(dict.fromkeys(whole))[:12])
    alphabet = "".join(dict.fromkeys(letters))
    return replace(shape, alphabet=alphabet) if len(alphabet) >= 2 else shape


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _texts(node: ast.expr) -> Iterator[str]:
    parts = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
