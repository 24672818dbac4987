"""The type of a parameter's values, inferred from an annotation, docstring, example or name.

A type is a kind (`int float str bool list tuple set dict tree linked`) with the types inside it
and, where something is known, the bounds of its values. It is a guess that the tracer states in
its input description; a wrong one costs a rejected sample, nothing else.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class ValueType:
    """A kind of value, with what is known about it.

    Attributes:
        kind: `int`, `float`, `str`, `bool`, `list`, `tuple`, `set`, `dict`, `tree`, `linked`,
            `object` or `none`.
        items: The element type, the types of a tuple's fields, or the types of key and value.
        low: Smallest number, if known.
        high: Largest number, if known.
        choices: The only values, if known.
        alphabet: Characters of texts, if known.
    """

    kind: str
    items: tuple[ValueType, ...] = ()
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    alphabet: str = ""

    @property
    def item(self) -> ValueType:
        """The type of an element (of a dict: of a value); `int` if nothing is known."""
        return self.items[-1] if self.items else ValueType("int")


def split_names(text: str) -> list[str]:
    """Split a text at blanks; long lists of names are easier to read and edit as one text."""
    return text.split()


INT, FLOAT, STR, BOOL = ValueType("int"), ValueType("float"), ValueType("str"), ValueType("bool")
LIST, DICT, TUPLE, SET = ValueType("list"), ValueType("dict"), ValueType("tuple"), ValueType("set")
TREE, LINKED = ValueType("tree"), ValueType("linked")
GRID = ValueType("list", (ValueType("list", (INT,)),))

_PLAIN = {
    **dict.fromkeys(("int", "integer", "long", "number", "num", "Integral"), INT),
    **dict.fromkeys(("float", "double", "decimal", "Real", "Number"), FLOAT),
    **dict.fromkeys(("str", "string", "char", "text", "Text", "AnyStr"), STR),
    **dict.fromkeys(("bool", "boolean"), BOOL),
    **dict.fromkeys(("list", "List", "array", "Sequence", "Iterable", "Collection"), LIST),
    **dict.fromkeys(("MutableSequence", "Iterator"), LIST),
    **dict.fromkeys(("dict", "Dict", "Mapping", "MutableMapping", "dictionary"), DICT),
    **dict.fromkeys(("tuple", "Tuple"), TUPLE),
    **dict.fromkeys(("set", "Set", "frozenset", "FrozenSet", "AbstractSet"), SET),
    **dict.fromkeys(("TreeNode", "Treenode"), TREE),
    **dict.fromkeys(("ListNode", "Listnode"), LINKED),
}
_PLURAL = re.compile(
    r"(?:list|array|sequence|tuple|iterable)s? (?:of|containing) (?:\w+ )??"
    r"((?:list|array)s? of )?(int|float|str|bool|number|char|word|dig|list|tuple)",
)
_STEMS = {"int": INT, "number": INT, "float": FLOAT, "str": STR, "char": STR, "word": STR}


def type_from_annotation(node: ast.expr | None) -> ValueType | None:
    """Return the type that an annotation names, None if it names none that can be generated."""
    if isinstance(node, ast.Name):
        return _PLAIN.get(node.id)
    if isinstance(node, ast.Attribute):
        return _PLAIN.get(node.attr)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return type_from_text(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return type_from_annotation(node.left) or type_from_annotation(node.right)
    if isinstance(node, ast.Subscript):
        return _from_subscript(node)
    if isinstance(node, ast.List) and len(node.elts) == 1:
        return ValueType("list", _known(node.elts))
    return None


def _from_subscript(node: ast.Subscript) -> ValueType | None:
    inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    name = node.value.attr if isinstance(node.value, ast.Attribute) else ""
    name = node.value.id if isinstance(node.value, ast.Name) else name
    if name in ("Optional", "Union", "Annotated", "Final"):
        return next(
            (value_type for value_type in map(type_from_annotation, inner) if value_type), None
        )
    if name == "Literal":
        values = [part.value for part in inner if isinstance(part, ast.Constant)]
        return replace(type_of_value(values[0]), choices=tuple(values)) if values else None
    outer = _PLAIN.get(name)
    if outer is None:
        return None
    if outer.kind == "tuple" and any(_is_dots(part) for part in inner):
        return ValueType("list", _known(inner[:1]))
    value_types = [type_from_annotation(part) for part in inner]
    return None if None in value_types else replace(outer, items=_known(inner))


def _known(nodes: Iterable[ast.expr]) -> tuple[ValueType, ...]:
    return tuple(value_type for value_type in map(type_from_annotation, nodes) if value_type)


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def type_from_text(text: str) -> ValueType | None:
    """Return the type that a docstring names (`List[int]`, `list of ints`, `string`), if any."""
    text = text.strip().strip(".`").removesuffix("optional").strip(" ,")
    try:
        found = type_from_annotation(ast.parse(text.replace(" or ", "|"), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found = None
    return found or _from_words(text.lower())


def _from_words(text: str) -> ValueType | None:
    plural = _PLURAL.match(text)
    if plural:
        item = _STEMS.get(plural[2], LIST if plural[2] == "list" else INT)
        value_type = ValueType("list", (item,))
        return ValueType("list", (value_type,)) if plural[1] else value_type
    first = re.match(r"(?:an? |the |non-?negative |positive )*([a-z]+)", text)
    return _PLAIN.get(first[1].removesuffix("s")) if first else None


def type_of_value(value: Any) -> ValueType:
    """Return the type of one example."""
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, (list, set, frozenset)):
        kind = "list" if isinstance(value, list) else "set"
        return ValueType(kind, tuple(type_of_values(value) for _ in (1,) if len(value)))
    if isinstance(value, tuple):
        return ValueType("tuple", tuple(type_of_value(part) for part in value))
    if isinstance(value, dict):
        inner = (type_of_values(value), type_of_values(value.values())) if value else ()
        return ValueType("dict", inner)
    return {int: INT, float: FLOAT, str: STR}.get(type(value), ValueType("none"))


def type_of_values(values: Iterable[Any]) -> ValueType:
    """Return the type that covers most of the examples: the first, widened from int to float."""
    value_types = [
        value_type for value_type in map(type_of_value, values) if value_type.kind != "none"
    ]
    if not value_types:
        return ValueType("none")
    if (
        any(value_type.kind == "float" for value_type in value_types)
        and value_types[0].kind == "int"
    ):
        return FLOAT
    fullest = max(value_types[:8], key=lambda value_type: len(value_type.items))
    return fullest if fullest.kind == value_types[0].kind else value_types[0]


_BY_NAME: tuple[tuple[str, ValueType], ...] = (
    (r"(grid|matrix|board|maze|mat|matrices|table|image|matrix\d)", GRID),
    (r"(edges|intervals|points|pairs|dependencies|coords)", GRID),
    (r"(words|strs|names|tokens|lines|strings|sentences|keys)", ValueType("list", (STR,))),
    (r"(is_|has_|should_|use_).*|(flag|reverse|verbose|ascending|strict)", BOOL),
    (r"(n|m|k|num|number|count|limit|size|total|length|amount|target|max_?n|upto|value|val)", INT),
    (r"(a|b|c|d|i|j|p|q|r|x|y|z|start|end|stop|step|low|high|left|right|index|idx|pos)", INT),
    (r"(year|month|day|hours?|minutes?|seconds?|age|base|digits?|width|height|depth|degree)", INT),
    (r"(rows?|cols?|capacity|level|rank|score|seed|steps|rounds|times|shift|offset)", INT),
    (r"(integer|n\d|num\d|number\d|num_\w+|number_?of_?\w+|n_\w+|max_\w+|min_\w+)", INT),
    (r"(price|rate|weight|mass|radius|temp|temperature|celsius|fahrenheit|angle|theta)", FLOAT),
    (r"(speed|velocity|distance|probability|ratio|percent|tax|salary|balance|interest)", FLOAT),
    (r"(s|s\d|str\d?|string\d?|text|word\d?|sentence|message|msg|phrase|name|line|title)", STR),
    (r"(char|ch|letter|pattern|prefix|suffix|substring|substr|key|cipher|plaintext)", STR),
    (r"(ciphertext|roman|roman_num\w*|binary|bits|hex_?\w*|dna|rna|seq|expression|expr)", STR),
    (r"(equation|path|date|time|email|ip|url|password|passwd|isbn|token|input_?str\w*)", STR),
    (r"(arr|array|a_?list|alist|lst|l|li|ls|xs|nums|numbers|values|data|items|elements)", LIST),
    (r"(list_?\d?|arr\d|nums\d|list\w*|\w*_list|\w*_array|collection|sequence|ints)", LIST),
    (r"(prices|heights|weights|scores|costs|coins|stones|profits|candidates|stack|queue)", LIST),
    (r"(graph|adj|adjacency\w*|neighbou?rs)", ValueType("dict", (STR, ValueType("list", (STR,))))),
    (r"(inventory|stock|counts|freq\w*|histogram|mapping|d(ict)?\d?|\w*_dict)", DICT),
    (r"(root|tree|t\d|root\d|subroot)", TREE),
    (r"(head|l\d|list_?head|head[ab12])", LINKED),
)


def type_from_name(name: str) -> ValueType | None:
    """Return the type that a parameter of this name usually has, if any."""
    lowered = name.lower().strip("_")
    return next((value_type for rule, value_type in _BY_NAME if re.fullmatch(rule, lowered)), None)


def merge_types(known: ValueType | None, other: ValueType | None) -> ValueType | None:
    """Complete `known` with what `other` knows, if both are of one kind."""
    if known is None or other is None:
        return known or other
    if other.kind != known.kind:
        return known
    return replace(known, items=known.items or other.items)
