"""Infers the parameters of one function, each with the type of its values.

Evidence in order of reliability: annotation, docstring, examples (calls, doctests, `x = [..]` in a
description), default, usage, name. What a better source leaves open, a weaker one fills in.
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
    """One argument of a function.

    Attributes:
        name: Its name.
        value_type: The inferred type of its values.
        examples: Values found in the file.
    """

    name: str
    value_type: ValueType
    examples: tuple[Any, ...] = ()


def infer_parameters(
    func: ast.FunctionDef, source: SourceFile, doc: str, is_method: bool
) -> tuple[Parameter, ...]:
    """Return the parameters that have to be given to a function.

    Args:
        func: The function.
        source: The file that defines it.
        doc: All text about the function.
        is_method: Whether its first parameter is `self` or `cls`.

    Raises:
        Unsuitable: A type cannot be inferred, or the number of parameters is not 1 to 6.
    """
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
    examples_by_name: Mapping[str, list[Any]],
) -> Parameter | None:
    """Return one parameter; None if it, and all after it, are better left at their defaults."""
    annotated = type_from_annotation(arg.annotation)
    if annotated is None and arg.annotation is not None and not _is_open(arg.annotation):
        raise Unsuitable(f"{func.name} takes {arg.arg} of type {ast.unparse(arg.annotation)}")
    seen = examples_by_name.get(arg.arg, [])
    if default is not None and annotated is None and not seen and not _is_plain(default):
        return None
    value_type = merge_types(annotated, _from_doc(arg.arg, doc))
    value_type = merge_types(value_type, type_of_values(seen) if seen else None)
    if isinstance(default, ast.Constant) and default.value is not None:
        value_type = merge_types(value_type, type_of_value(default.value))
    used = type_from_usage(arg.arg, func, source.functions)
    if _has_objects(used):
        raise Unsuitable(f"{func.name} takes {arg.arg}, an object of its own kind")
    value_type = merge_types(value_type, used)
    value_type = merge_types(value_type, type_from_name(arg.arg))
    if value_type is None or value_type.kind == "none":
        raise Unsuitable(f"the type of {arg.arg} in {func.name} cannot be told")
    return Parameter(arg.arg, with_bounds(value_type, arg.arg, func), tuple(seen))


def _has_objects(value_type: ValueType | None) -> bool:
    return value_type is not None and (
        value_type.kind == "object" or any(map(_has_objects, value_type.items))
    )


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
        value_type = type_from_text(match[1]) if match else None
        if value_type:
            return value_type
    return None


def with_bounds(value_type: ValueType, name: str, func: ast.FunctionDef) -> ValueType:
    """Add what the function itself reveals about the values of a parameter.

    Args:
        value_type: The type inferred so far.
        name: The name of the parameter.
        func: The function.
    """
    if value_type.choices:
        return value_type
    if value_type.kind in ("int", "float"):
        low, high = _guards(name, func)
        return replace(value_type, low=low, high=high)
    if value_type.kind == "str":
        return _lettered(value_type, name, func)
    if value_type.kind == "list" and value_type.items:
        return replace(value_type, items=(_celled(value_type.items[0], name, func),))
    return value_type


def _celled(item: ValueType, name: str, func: ast.FunctionDef) -> ValueType:
    """Restrict a grid of letters to the letters that the code compares with."""
    if item.kind != "list" or item.item.kind != "str":
        return item
    letters = _lettered(item.item, name, func).alphabet
    return replace(item, items=(ValueType("str", choices=tuple(letters)),)) if letters else item


def _guards(name: str, func: ast.FunctionDef) -> tuple[float | None, float | None]:
    """Return the bounds given by guard clauses such as `if n < 0: raise`."""
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


def _lettered(value_type: ValueType, name: str, func: ast.FunctionDef) -> ValueType:
    """Infer choices from `mode == "add"`, and the alphabet from single characters in the code."""
    words, letters = [], []
    for node in ast.walk(func):
        if isinstance(node, ast.Compare) and _is_named(node.left, name):
            words += [text for side in node.comparators for text in _texts(side)]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            letters += [node.value] if len(node.value) == 1 else []
    whole = [word for word in words if len(word) > 1]
    if len(whole) >= 2:
        return replace(value_type, choices=tuple(dict.fromkeys(whole))[:12])
    alphabet = "".join(dict.fromkeys(letters))
    return replace(value_type, alphabet=alphabet) if len(alphabet) >= 2 else value_type


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _texts(node: ast.expr) -> Iterator[str]:
    parts = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
