"""Inputs worth trying: the types and ranges that the text gives, and small values of them."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from annoy_store.hashing import compact_json
from annoy_store.inference.backends.tracer.parameters import Parameter, infer_parameters
from annoy_store.inference.backends.tracer.source_file import (
    SourceFile,
    Unsuitable,
    read_source,
)
from annoy_store.inference.backends.tracer.value_types import INT, ValueType, type_from_text
from annoy_store.parsing.python_code import parse_module

_POOL = 12
_RANGE = re.compile(r"from (-?\d+(?:\.\d+)?) to (-?\d+(?:\.\d+)?)")


def described_parameters(code: str, io: str) -> tuple[Parameter, ...]:
    """Return the parameters of `main_solution`, with the types and ranges that the text gives.

    Args:
        code: The reference code.
        io: The input and output description.

    Returns:
        The parameters in order; none if the code cannot be read.
    """
    try:
        source = read_source(code)
        func = source.functions["main_solution"]
    except (Unsuitable, KeyError):
        return ()
    names = [arg.arg for arg in (*func.args.posonlyargs, *func.args.args, *func.args.kwonlyargs)]
    known = _known(func, source, io)
    plain = [known.get(name, Parameter(name, INT)) for name in names]
    return tuple(replace(p, value_type=_described(p, io)) for p in plain)


def _known(func: ast.FunctionDef, source: SourceFile, io: str) -> dict[str, Parameter]:
    """Infer the parameters from the code, also from the functions that they are passed to."""
    found: dict[str, Parameter] = {}
    for node in ast.walk(func):
        name = (
            getattr(node.func, "id", getattr(node.func, "attr", ""))
            if isinstance(node, ast.Call)
            else ""
        )
        helper = source.functions.get(name)
        if helper is not None and isinstance(node, ast.Call):
            for value, parameter in zip(
                node.args, _inferred(helper, source, source.text), strict=False
            ):
                if isinstance(value, ast.Name):
                    found[value.id] = replace(parameter, name=value.id)
    for parameter in _inferred(func, source, io):
        found.setdefault(parameter.name, parameter)
    return found


def _inferred(func: ast.FunctionDef, source: SourceFile, words: str) -> tuple[Parameter, ...]:
    first = func.args.args[0].arg if func.args.args else ""
    try:
        return infer_parameters(func, source, words, is_method=first in ("self", "cls"))
    except Unsuitable:
        return ()


def _described(parameter: Parameter, io: str) -> ValueType:
    """Return the type that the description gives as `name` (type), else the inferred one."""
    match = re.search(rf"`?{re.escape(parameter.name)}`?\s*\(([^)\n]+)\)\s*:?([^\n]*)", io)
    value_type = (type_from_text(match[1]) if match else None) or parameter.value_type
    if value_type.kind in ("list", "dict") and not value_type.items:
        value_type = replace(value_type, items=parameter.value_type.items)
    edges = _RANGE.findall(match[2])[-1:] if match else []
    return _within(value_type, float(edges[0][0]), float(edges[0][1])) if edges else value_type


def _within(value_type: ValueType, low: float, high: float) -> ValueType:
    if value_type.kind in ("int", "float"):
        return replace(value_type, low=low, high=high)
    if value_type.items:
        return replace(
            value_type, items=(*value_type.items[:-1], _within(value_type.items[-1], low, high))
        )
    return (
        replace(value_type, items=(ValueType("int", low=low, high=high),))
        if value_type.kind == "list"
        else value_type
    )


def candidate_inputs(parameters: Sequence[Parameter], code: str, wanted: Any) -> Iterator[str]:
    """Yield inputs as compact JSON, simplest combinations first.

    Args:
        parameters: The parameters in order.
        code: The reference code, whose constants are tried.
        wanted: The output that an input is searched for.
    """
    constants = _constants(code)
    pools = [list(_unique(_pool(p.value_type, constants, wanted)))[:_POOL] for p in parameters]
    places = sorted(itertools.product(*(range(len(pool)) for pool in pools[:4])), key=sum)
    for place in places:
        chosen = {p.name: pool[i] for p, pool, i in zip(parameters, pools, place, strict=False)}
        chosen.update({p.name: pool[0] for p, pool in zip(parameters[4:], pools[4:], strict=True)})
        yield compact_json(chosen)


def _constants(code: str) -> list[Any]:
    try:
        tree = parse_module(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [value for value in found if isinstance(value, (int, str)) and value is not True]


def _unique(values: Iterator[Any]) -> Iterator[Any]:
    seen = set()
    for value in values:
        text = repr(value)
        if text not in seen and len(text) < 900:
            seen.add(text)
            yield value


def _pool(value_type: ValueType, constants: list[Any], wanted: Any) -> Iterator[Any]:
    """Yield values for one argument: parts of the output, then small ones, then constants."""
    if value_type.choices:
        yield from value_type.choices
    elif value_type.kind in ("int", "float"):
        yield from _numbers(value_type, constants, wanted)
    elif value_type.kind == "str":
        yield from _texts(constants, wanted)
    elif value_type.kind == "bool":
        yield from (True, False)
    elif value_type.kind == "dict":
        yield from ([wanted] if isinstance(wanted, dict) else [])
        yield from ({}, {"a": 1}, {"a": 1, "b": 2})
    else:
        yield from _lists(value_type, constants, wanted)


def _numbers(value_type: ValueType, constants: list[Any], wanted: Any) -> Iterator[float]:
    near = list(_leaves(wanted))
    values = [v for v in near if isinstance(v, (int, float)) and not isinstance(v, bool)]
    values += [abs(v) ** 0.5 // 1 for v in values[:1]] + [v * 2 for v in values[:1]]
    values += [1, 2, 3, 5, 0, 4, 7, 10, 12, -1]
    values += [c for c in constants if isinstance(c, int) and abs(c) < 10_000]
    for value in values:
        number = int(value) if value_type.kind == "int" else float(value)
        if (value_type.low is None or number >= value_type.low) and (
            value_type.high is None or number <= value_type.high
        ):
            yield number


def _texts(constants: list[Any], wanted: Any) -> Iterator[str]:
    for part in _leaves(wanted):
        if isinstance(part, str):
            yield from (part, part[::-1], part.lower(), part.upper())
        else:
            yield str(part)
    yield from ("a", "", "ab", "aba", "abc", "hello")
    yield from (text for text in constants if isinstance(text, str) and len(text) < 30)


def _lists(value_type: ValueType, constants: list[Any], wanted: Any) -> Iterator[list[Any]]:
    if isinstance(wanted, list):
        yield from (wanted, wanted[::-1])
    if isinstance(wanted, list) and all(isinstance(v, (int, float)) for v in wanted):
        yield sorted(wanted)
    elements = list(_unique(_pool(value_type.item, constants, wanted)))[:6] or [1]
    yield [elements[0]]
    yield elements[:3]
    yield []
    yield [elements[0]] * 2
    yield elements[:4]
    yield elements[::-1]


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the plain values inside a JSON value, at most 20."""
    todo, n_given = [value], 0
    while todo and n_given < 20:
        part = todo.pop(0)
        if isinstance(part, dict):
            todo.extend([*part.keys(), *part.values()])
        elif isinstance(part, list):
            todo.extend(part)
        elif part is not None:
            n_given += 1
            yield part
