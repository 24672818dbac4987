"""Writes the input generator: an expression for every parameter, with containers and relations.

Values stay small: fewer than 20 items, strings under 100 characters, under 1 KB in total.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Sequence
from typing import Any

from annoy_store.inference.backends.tracer.parameters import Parameter
from annoy_store.inference.backends.tracer.random_expressions import (
    WORDS,
    RandomExpression,
    bool_expression,
    float_expression,
    int_expression,
    str_expression,
)
from annoy_store.inference.backends.tracer.value_types import ValueType


def render_generator(expressions: Sequence[tuple[str, RandomExpression]]) -> str:
    """Return the source of a module that defines `input_generator`.

    Args:
        expressions: Expressions by parameter, in order.
    """
    body = []
    for name, expression in expressions:
        body += [f"    {line}" for line in expression.setup_lines]
        body.append(f"    {_local(name)} = {expression.code}")
    text = "\n".join(body)
    head = ["import random"]
    if "WORDS" in text:
        head += ["", f"WORDS = {list(WORDS)!r}"]
    names = ", ".join(f'"{name}": {_local(name)}' for name, _ in expressions)
    return "\n".join([*head, "", "", "def input_generator():", text, f"    return {{{names}}}", ""])


def _local(name: str) -> str:
    """Return the generator's variable for a parameter; names that its code uses get a suffix."""
    is_reserved = name in ("random", "WORDS", "row_length", "node_count") or hasattr(builtins, name)
    return f"{name}_" if is_reserved else name


def parameter_expressions(
    parameters: Sequence[Parameter], topic: str
) -> list[tuple[str, RandomExpression]]:
    """Return a random expression for each parameter.

    Args:
        parameters: The parameters in order.
        topic: Words about the function in lower case.
    """
    found: list[tuple[str, RandomExpression]] = []
    container: Parameter | None = None
    for parameter in parameters:
        related = _related(parameter, container)
        if container is None and parameter.value_type.kind in ("list", "str"):
            container = parameter
        found.append((parameter.name, related or _expression(parameter, topic)))
    return found


def _related(parameter: Parameter, container: Parameter | None) -> RandomExpression | None:
    """Return an expression that relates an index, count or target to the list that it is about."""
    if container is None or parameter.value_type.kind != "int":
        return None
    local = _local(container.name)
    for rule, draw, words in _RELATED:
        if not re.fullmatch(rule, parameter.name.lower()):
            continue
        if "[*" in draw and (container.value_type.kind, container.value_type.item.kind) != (
            "list",
            "int",
        ):
            return None
        text = draw.format(length=f"len({local})", container=local)
        return RandomExpression(text, words.format(container=container.name))
    return None


_RELATED = (
    (r"n|size|length|len_?\w*|count", "{length}", "the length of `{container}`"),
    (
        r"k|r|window|w|shift|steps?",
        "random.randint(1, max(1, {length}))",
        "a whole number from 1 to the length of `{container}`",
    ),
    (r"low|left|start|lo|l|begin", "0", "0, the first position of `{container}`"),
    (r"high|right|end|hi", "{length} - 1", "the last position of `{container}`"),
    (
        r"target|key|x|val|value|item|element|needle|search\w*",
        "random.choice([*{container}, random.randint(1, 40)])",
        "a value that is often one of `{container}`",
    ),
    (
        r"i|j|idx|index|pos|position",
        "random.randrange(max(1, {length}))",
        "a position in `{container}`",
    ),
)


def _expression(parameter: Parameter, topic: str) -> RandomExpression:
    draw = _EXPRESSIONS.get(parameter.value_type.kind, int_expression)
    return draw(parameter.value_type, parameter.name.lower(), list(parameter.examples), topic)


# Containers ----------------------------------------------------------------------------------


def _list(value_type: ValueType, name: str, examples: list[Any], topic: str) -> RandomExpression:
    item = value_type.item
    inner = [part for value in examples if isinstance(value, (list, tuple, set)) for part in value]
    if item.kind == "list":
        return _grid(item, name, inner, topic)
    part = _element(item, name, inner, topic)
    low, high = _lengths(examples)
    many = f"[{part.code} for _ in range(random.randint({low}, {high}))]"
    words = f"a list of {low} to {high} values, each {part.description}"
    if value_type.kind == "set":
        return RandomExpression(f"sorted(set({many}))", f"{words}, all different")
    if _is_sorted(name, topic) and item.kind in ("int", "float", "str"):
        return RandomExpression(f"sorted({many})", f"{words}, in rising order")
    if "permut" in topic or "unique" in topic or "distinct" in topic:
        return RandomExpression(
            f"random.sample(range(1, 30), random.randint({low}, {min(high, 6)}))", words
        )
    return RandomExpression(many, words)


def _is_sorted(name: str, topic: str) -> bool:
    return bool(
        re.search(r"sorted (array|list|integer|in |non)|binary ?_?search|ascending order", topic)
        or "sorted" in name
    ) and not re.search(r"\b\w*sort\b", topic)


def _lengths(examples: list[Any]) -> tuple[int, int]:
    sizes = [len(value) for value in examples if hasattr(value, "__len__") and len(value) < 20]
    if not sizes:
        return 3, 8
    low = min(max(1, min(sizes)), 12)
    return low, min(15, max(*sizes, low + 4))


def _element(item: ValueType, name: str, inner: list[Any], topic: str) -> RandomExpression:
    if item.kind in ("int", "float"):
        numbers = [n for n in inner if isinstance(n, (int, float)) and abs(n) <= 10_000]
        if numbers and item.kind == "int":
            low, high = int(min(numbers)), int(max(numbers))
            high = high if set(numbers) <= {0, 1} else max(high, low + 8)
            return RandomExpression(
                f"random.randint({low}, {high})", f"a whole number from {low} to {high}"
            )
        if item.kind == "int":
            low = -20 if re.search(r"subarray|kadane|negative|max_?sum|profit", topic) else 1
            return RandomExpression(
                f"random.randint({low}, 40)", f"a whole number from {low} to 40"
            )
        return float_expression(item, name, inner, topic)
    if item.kind == "str" and not inner and not item.choices:
        return RandomExpression("random.choice(WORDS)", "a short word")
    return _expression(Parameter(name, item, tuple(inner)), topic)


def _grid(item: ValueType, name: str, rows: list[Any], topic: str) -> RandomExpression:
    """Return an expression for rows of equal length: pairs for edges, squares where named."""
    cells = [cell for row in rows if isinstance(row, (list, tuple)) for cell in row]
    part = _element(item.item, name, cells, topic)
    if item.item.kind == "list":
        part = RandomExpression("random.randint(0, 9)", "a whole number from 0 to 9")
    widths = {len(row) for row in rows if hasattr(row, "__len__")}
    if re.search(r"edge|interval|pair|point|coord|prereq", name) or widths == {2}:
        return _pairs(name, part)
    if not cells and re.search(r"grid|island|maze|board|image", f"{name} {topic}"):
        part = RandomExpression("random.randint(0, 1)", "0 or 1")
    if widths == {9}:
        return RandomExpression(
            f"[[{part.code} for _ in range(9)] for _ in range(9)]", "9 rows of 9"
        )
    square = re.search(r"determinant|rotat|transpos|n x n|nxn|square|diagonal|spiral|magic", topic)
    rows_text = "row_length" if square else "random.randint(2, 4)"
    return RandomExpression(
        f"[[{part.code} for _ in range(row_length)] for _ in range({rows_text})]",
        f"{'as many' if square else '2 to 4'} rows of {'' if square else 'the same '}"
        f"2 to 4 values, each {part.description}",
        ("row_length = random.randint(2, 4)",),
    )


def _pairs(name: str, part: RandomExpression) -> RandomExpression:
    if "interval" in name:
        draw = "[start, start + random.randint(1, 8)]"
        return RandomExpression(
            f"[{draw} for start in [random.randint(0, 20) for _ in range(random.randint(2, 6))]]",
            "2 to 6 pairs [start, end]",
        )
    return RandomExpression(
        f"[[{part.code}, {part.code}] for _ in range(random.randint(2, 6))]",
        f"2 to 6 pairs, each part {part.description}",
    )


def _tuple(value_type: ValueType, name: str, examples: list[Any], topic: str) -> RandomExpression:
    if not value_type.items:
        return _list(value_type, name, examples, topic)
    parts = [_element(item, name, [], topic) for item in value_type.items[:8]]
    return RandomExpression(
        f"[{', '.join(part.code for part in parts)}]",
        "a list of " + ", ".join(part.description for part in parts),
    )


def _dict(value_type: ValueType, name: str, examples: list[Any], topic: str) -> RandomExpression:
    shown = [value for value in examples if isinstance(value, dict) and 0 < len(value) < 15]
    if shown and all(isinstance(value, dict) for value in shown):
        texts = [value for value in shown if len(repr(value)) < 400][:4]
        if texts and value_type.item.kind not in ("int", "float"):
            return RandomExpression(
                f"random.choice({texts!r})", "one of the tables that the code shows"
            )
    if value_type.item.kind == "list" or re.search(r"graph|adjac|neighbo", f"{name} {topic}"):
        return _graph(value_type)
    keys = list(dict.fromkeys(key for value in shown for key in value))[:12] or None
    source = repr(keys) if keys and len(keys) > 1 else "WORDS"
    most = min(6, len(keys)) if keys and len(keys) > 1 else 6
    item = value_type.item if value_type.items else ValueType("int")
    part = _element(item, name, [v for value in shown for v in value.values()], topic)
    return RandomExpression(
        f"{{key: {part.code} for key in random.sample({source}, random.randint(2, {most}))}}",
        f"a table of 2 to {most} entries, each value {part.description}",
    )


def _graph(value_type: ValueType) -> RandomExpression:
    key = value_type.items[0].kind if len(value_type.items) == 2 else "str"
    names = "range(5)" if key == "int" else '"ABCDE"'
    return RandomExpression(
        f"{{key: sorted(random.sample([n for n in {names} if n != key], random.randint(1, 3))) "
        f"for key in {names}}}",
        "a graph of five nodes, each with the list of its neighbours",
    )


def _tree(value_type: ValueType, name: str, examples: list[Any], topic: str) -> RandomExpression:
    draw = "[random.randint(1, 30)] + [random.choice([None, *range(1, 30)]) for _ in range(node_count)]"
    if re.search(r"bst|search tree", topic):
        draw = "(lambda v: [v[3], v[1], v[5], v[0], v[2], v[4], v[6]])(sorted(random.sample(range(1, 40), 7)))"
        return RandomExpression(draw, "a binary search tree of 7 values, level by level")
    return RandomExpression(
        draw,
        "a binary tree, level by level, null for a missing child",
        ("node_count = random.randint(2, 8)",),
    )


def _linked(value_type: ValueType, name: str, examples: list[Any], topic: str) -> RandomExpression:
    many = "[random.randint(1, 20) for _ in range(random.randint(2, 8))]"
    if "sorted" in topic or "merge" in topic:
        return RandomExpression(f"sorted({many})", "the values of a linked list in rising order")
    return RandomExpression(many, "the values of a linked list, first to last")


_EXPRESSIONS: dict[str, Callable[[ValueType, str, list[Any], str], RandomExpression]] = {
    "int": int_expression,
    "float": float_expression,
    "bool": bool_expression,
    "str": str_expression,
    "list": _list,
    "set": _list,
    "tuple": _tuple,
    "dict": _dict,
    "tree": _tree,
    "linked": _linked,
}
