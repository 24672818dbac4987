"""What may be tried as an input: the types and ranges that the text gives, and small values of them."""

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
    parse_python,
    read_source,
)
from annoy_store.inference.backends.tracer.value_types import INT, ValueType, type_from_text

_POOL = 12
_RANGE = re.compile(r"from (-?\d+(?:\.\d+)?) to (-?\d+(?:\.\d+)?)")


def described_parameters(code: str, io: str) -> tuple[Parameter, ...]:
    """Return the arguments of main_solution, with the types and ranges that the text gives."""
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
    """Return what the code tells about the arguments, also by the function they are handed to."""
    found: dict[str, Parameter] = {}
    for node in ast.walk(func):
        name = (
            getattr(node.func, "id", getattr(node.func, "attr", ""))
            if isinstance(node, ast.Call)
            else ""
        )
        helper = source.functions.get(name)
        if helper is not None and isinstance(node, ast.Call):
            for value, told in zip(node.args, _taken(helper, source, source.text), strict=False):
                if isinstance(value, ast.Name):
                    found[value.id] = replace(told, name=value.id)
    for told in _taken(func, source, io):
        found.setdefault(told.name, told)
    return found


def _taken(func: ast.FunctionDef, source: SourceFile, words: str) -> tuple[Parameter, ...]:
    first = func.args.args[0].arg if func.args.args else ""
    try:
        return infer_parameters(func, source, words, is_method=first in ("self", "cls"))
    except Unsuitable:
        return ()


def _described(parameter: Parameter, io: str) -> ValueType:
    """Return the shape that the description gives in `name` (type): words, else the present one."""
    match = re.search(rf"`?{re.escape(parameter.name)}`?\s*\(([^)\n]+)\)\s*:?([^\n]*)", io)
    shape = (type_from_text(match[1]) if match else None) or parameter.value_type
    if shape.kind in ("list", "dict") and not shape.items:
        shape = replace(shape, items=parameter.value_type.items)
    edges = _RANGE.findall(match[2])[-1:] if match else []
    return _within(shape, float(edges[0][0]), float(edges[0][1])) if edges else shape


def _within(shape: ValueType, low: float, high: float) -> ValueType:
    if shape.kind in ("int", "float"):
        return replace(shape, low=low, high=high)
    if shape.items:
        return replace(shape, items=(*shape.items[:-1], _within(shape.items[-1], low, high)))
    return (
        replace(shape, items=(ValueType("int", low=low, high=high),))
        if shape.kind == "list"
        else shape
    )


def candidate_inputs(given: Sequence[Parameter], code: str, wanted: Any) -> Iterator[str]:
    """Give inputs, the simplest combinations first."""
    constants = _constants(code)
    pools = [list(_unique(_pool(p.value_type, constants, wanted)))[:_POOL] for p in given]
    places = sorted(itertools.product(*(range(len(pool)) for pool in pools[:4])), key=sum)
    for place in places:
        chosen = {p.name: pool[i] for p, pool, i in zip(given, pools, place, strict=False)}
        chosen.update({p.name: pool[0] for p, pool in zip(given[4:], pools[4:], strict=True)})
        yield compact_json(chosen)


def _constants(code: str) -> list[Any]:
    try:
        tree = parse_python(code)
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


def _pool(shape: ValueType, constants: list[Any], wanted: Any) -> Iterator[Any]:
    """Give values for one argument: parts of the output, then small ones, then constants."""
    if shape.choices:
        yield from shape.choices
    elif shape.kind in ("int", "float"):
        yield from _numbers(shape, constants, wanted)
    elif shape.kind == "str":
        yield from _texts(constants, wanted)
    elif shape.kind == "bool":
        yield from (True, False)
    elif shape.kind == "dict":
        yield from ([wanted] if isinstance(wanted, dict) else [])
        yield from ({}, {"a": 1}, {"a": 1, "b": 2})
    else:
        yield from _lists(shape, constants, wanted)


def _numbers(shape: ValueType, constants: list[Any], wanted: Any) -> Iterator[float]:
    near = list(_leaves(wanted))
    values = [v for v in near if isinstance(v, (int, float)) and not isinstance(v, bool)]
    values += [abs(v) ** 0.5 // 1 for v in values[:1]] + [v * 2 for v in values[:1]]
    values += [1, 2, 3, 5, 0, 4, 7, 10, 12, -1]
    values += [c for c in constants if isinstance(c, int) and abs(c) < 10_000]
    for value in values:
        number = int(value) if shape.kind == "int" else float(value)
        if (shape.low is None or number >= shape.low) and (
            shape.high is None or number <= shape.high
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


def _lists(shape: ValueType, constants: list[Any], wanted: Any) -> Iterator[list[Any]]:
    if isinstance(wanted, list):
        yield from (wanted, wanted[::-1])
    if isinstance(wanted, list) and all(isinstance(v, (int, float)) for v in wanted):
        yield sorted(wanted)
    elements = list(_unique(_pool(shape.item, constants, wanted)))[:6] or [1]
    yield [elements[0]]
    yield elements[:3]
    yield []
    yield [elements[0]] * 2
    yield elements[:4]
    yield elements[::-1]


def _leaves(value: Any) -> Iterator[Any]:
    """Give the plain values inside a JSON value, at most 20."""
    todo, given = [value], 0
    while todo and given < 20:
        part = todo.pop(0)
        if isinstance(part, dict):
            todo.extend([*part.keys(), *part.values()])
        elif isinstance(part, list):
            todo.extend(part)
        elif part is not None:
            given += 1
            yield part
