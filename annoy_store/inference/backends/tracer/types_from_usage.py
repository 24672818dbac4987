"""Infers the type of a parameter from its uses: `len(p)`, `p % 2`, `p.split()`, `p[i][j]`.

Every use votes for a kind; the kind with most votes wins, and elements are inferred the same way
one level down. Nothing is executed, and the result is only a guess.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from annoy_store.inference.backends.tracer.value_types import (
    BOOL,
    FLOAT,
    INT,
    LINKED,
    STR,
    TREE,
    ValueType,
    split_names,
    type_from_annotation,
    type_from_name,
)

NodeTest = Callable[[ast.AST | None], bool]
Helpers = Mapping[str, ast.FunctionDef]

_METHODS = {
    **dict.fromkeys(
        split_names(
            "split lower upper strip isdigit isalpha isalnum replace startswith endswith join title "
            "find encode isupper islower lstrip rstrip swapcase capitalize zfill splitlines"
        ),
        "str",
    ),
    **dict.fromkeys(split_names("append pop insert extend reverse sort remove"), "list"),
    **dict.fromkeys(split_names("items keys values get setdefault"), "dict"),
    **dict.fromkeys(split_names("add union intersection difference issubset"), "set"),
}
_CALLS = frozenset(split_names("len sorted sum min max enumerate reversed list zip set tuple iter"))
_NUMBER_CALLS = {"range": 4, "chr": 3, "bin": 3, "hex": 3, "abs": 2, "str": 1, "divmod": 3}
_FIELDS = {"left": "tree", "right": "tree", "next": "linked"}
_KNOWN_ATTRIBUTES = frozenset(
    name for kind in (str, list, dict, set, int, float) for name in dir(kind)
) | {"val"}
OBJECT = ValueType("object")
_ARITHMETIC = (ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr)
_BITWISE = (ast.BitXor, ast.LShift, ast.RShift)
_SINGLE = {
    value_type.kind: value_type for value_type in (INT, FLOAT, STR, BOOL, TREE, LINKED, OBJECT)
}


def type_from_usage(
    name: str, func: ast.FunctionDef, helpers: Helpers, depth: int = 0
) -> ValueType | None:
    """Return the type that the uses of a parameter suggest.

    Args:
        name: The name of the parameter.
        func: The function that uses it.
        helpers: Functions of the file by name; calls that pass the parameter on are followed.
        depth: How many calls or levels of elements were followed already.

    Returns:
        The type, None if there is no evidence. The kind `object` says that the value has attributes
        of its own, which no JSON value has.
    """

    def is_name(node: ast.AST | None) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    return _shape(is_name, func, helpers, depth)


def _shape(
    is_value: NodeTest, func: ast.FunctionDef, helpers: Helpers, depth: int
) -> ValueType | None:
    votes = _votes(is_value, func, helpers, depth)
    kind = _winner(votes)
    if kind in _SINGLE:
        return _SINGLE[kind]
    if kind in ("list", "sequence", "set"):
        return _sequence(is_value, func, helpers, depth, kind)
    return ValueType("dict") if kind == "dict" else None


def _winner(votes: Counter[str]) -> str | None:
    for field in ("tree", "linked", "object"):
        if votes[field]:
            return field
    if not votes:
        return None
    if votes["dict"] >= 3 and votes["dict"] >= votes["list"]:
        return "dict"
    order = ("str", "list", "set", "sequence", "float", "int", "bool")
    return max(order, key=lambda kind: (votes[kind], -order.index(kind)))


def _sequence(
    is_value: NodeTest, func: ast.FunctionDef, helpers: Helpers, depth: int, kind: str
) -> ValueType | None:
    width = _unpacked(is_value, func)
    if width:
        return ValueType("list", (ValueType("tuple", (INT,) * width),))
    if depth >= 3:
        return ValueType("list", (INT,))
    item = _shape(_element(is_value, func), func, helpers, depth + 1)
    if kind == "sequence" and item == STR and _is_letter(_element(is_value, func), func):
        return STR
    return ValueType("set" if kind == "set" else "list", (item,) if item else ())


def _votes(is_value: NodeTest, func: ast.FunctionDef, helpers: Helpers, depth: int) -> Counter[str]:
    votes: Counter[str] = Counter()
    for node in ast.walk(func):
        for kind, weight in _vote(node, is_value):
            votes[kind] += weight
        if isinstance(node, ast.Call) and depth < 3:
            votes.update(_votes_of_helper(node, is_value, func, helpers, depth))
    return votes


def _vote(node: ast.AST, is_value: NodeTest) -> Iterator[tuple[str, int]]:
    """Yield the kinds that one node is evidence for, with weights."""
    if isinstance(node, ast.Call):
        yield from _vote_call(node, is_value)
    elif isinstance(node, ast.Attribute) and is_value(node.value):
        if node.attr not in _KNOWN_ATTRIBUTES:
            yield _FIELDS.get(node.attr, "object"), 3
    elif isinstance(node, ast.Subscript):
        yield from _vote_subscript(node, is_value)
    elif isinstance(node, (ast.BinOp, ast.AugAssign)):
        yield from _vote_arithmetic(node, is_value)
    elif isinstance(node, ast.Compare):
        yield from _vote_compare(node, is_value)
    elif isinstance(node, (ast.For, ast.comprehension)) and is_value(node.iter):
        yield "sequence", 3
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and is_value(node.operand):
        yield "int", 2


def _vote_call(node: ast.Call, is_value: NodeTest) -> Iterator[tuple[str, int]]:
    called = node.func
    if isinstance(called, ast.Attribute):
        if is_value(called.value) and called.attr in _METHODS:
            yield _METHODS[called.attr], 4
        if isinstance(called.value, ast.Name) and called.value.id == "math":
            yield from (("float", 2) for part in node.args if is_value(part))
    if not isinstance(called, ast.Name) or not any(map(is_value, node.args)):
        return
    if called.id in ("max", "min") and len(node.args) > 1:
        yield "int", 2
    elif called.id in _CALLS:
        yield "sequence", 2
    elif called.id in _NUMBER_CALLS:
        yield "int", _NUMBER_CALLS[called.id]
    elif called.id in ("ord", "int", "float"):
        yield "str", 3 if called.id == "ord" else 1
    elif called.id == "isinstance" and is_value(node.args[0]) and len(node.args) == 2:
        annotated = type_from_annotation(node.args[1])
        if annotated:
            yield annotated.kind, 5


def _vote_subscript(node: ast.Subscript, is_value: NodeTest) -> Iterator[tuple[str, int]]:
    if is_value(node.value):
        key = node.slice
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield "dict", 4
        else:
            yield "sequence", 3
            yield from [("list", 2)] if isinstance(node.ctx, (ast.Store, ast.Del)) else ()
    elif is_value(node.slice):
        yield "int", 1


def _vote_arithmetic(
    node: ast.BinOp | ast.AugAssign, is_value: NodeTest
) -> Iterator[tuple[str, int]]:
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
    if not any(map(is_value, sides)):
        return
    other = sides[1] if is_value(sides[0]) else sides[0]
    constant = other.value if isinstance(other, ast.Constant) else None
    if isinstance(constant, str):
        yield from [("str", 3)] if isinstance(node.op, ast.Add) else ()
    elif isinstance(other, (ast.List, ast.ListComp)):
        yield from [("list", 3)] if isinstance(node.op, ast.Add) else [("int", 3)]
    elif isinstance(constant, float):
        yield "float", 4
    elif isinstance(node.op, _BITWISE):
        yield "int", 4
    elif isinstance(node.op, _ARITHMETIC):
        yield "int", 2
    elif isinstance(constant, int):
        yield "int", 3


def _vote_compare(node: ast.Compare, is_value: NodeTest) -> Iterator[tuple[str, int]]:
    sides = [node.left, *node.comparators]
    if not any(map(is_value, sides)):
        return
    for op, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, (ast.In, ast.NotIn)) and is_value(right):
            yield "sequence", 2
    for side in sides:
        if not isinstance(side, ast.Constant) or side.value is None:
            continue
        if isinstance(side.value, bool):
            yield "bool", 3
        elif isinstance(side.value, (int, float, str)):
            yield type(side.value).__name__, 3


def _votes_of_helper(
    node: ast.Call, is_value: NodeTest, func: ast.FunctionDef, helpers: Helpers, depth: int
) -> Counter[str]:
    """Return the votes of the function that the value is passed to."""
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else ""
    helper = helpers.get(called.id if isinstance(called, ast.Name) else name)
    if helper is None or helper is func:
        return Counter()
    names = [arg.arg for arg in helper.args.args if arg.arg not in ("self", "cls")]
    for value, parameter in zip(node.args, names, strict=False):
        if is_value(value):
            used = type_from_usage(parameter, helper, helpers, depth + 1)
            if used:
                return Counter({used.kind: 2})
            annotated = type_from_annotation(_annotation(helper, parameter)) or type_from_name(
                parameter
            )
            return Counter({annotated.kind: 1}) if annotated else Counter()
    return Counter()


def _annotation(func: ast.FunctionDef, name: str) -> ast.expr | None:
    return next((arg.annotation for arg in func.args.args if arg.arg == name), None)


def _bindings(func: ast.FunctionDef) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield target and iterable of each loop and comprehension."""
    for node in ast.walk(func):
        if isinstance(node, (ast.For, ast.comprehension)):
            yield node.target, node.iter


def _element(is_value: NodeTest, func: ast.FunctionDef) -> NodeTest:
    """Return the test for being one element of the value."""
    names: set[str] = set()
    for target, iterated in _bindings(func):
        names.update(_element_names(target, iterated, is_value))

    def is_element(node: ast.AST | None) -> bool:
        if isinstance(node, ast.Name):
            return node.id in names
        return (
            isinstance(node, ast.Subscript)
            and not isinstance(node.slice, ast.Slice)
            and is_value(node.value)
        )

    return is_element


def _element_names(target: ast.expr, iterated: ast.expr, is_value: NodeTest) -> Iterator[str]:
    if isinstance(target, ast.Name) and is_value(iterated):
        yield target.id
    if not isinstance(iterated, ast.Call) or not isinstance(iterated.func, ast.Name):
        return
    sides = target.elts if isinstance(target, ast.Tuple) else [target]
    sources = iterated.args
    if iterated.func.id == "enumerate":
        sides = sides[1:]
    elif iterated.func.id not in ("zip", "sorted", "reversed", "set"):
        return
    for side, source in zip(sides, sources, strict=False):
        if isinstance(side, ast.Name) and is_value(source):
            yield side.id


def _unpacked(is_value: NodeTest, func: ast.FunctionDef) -> int:
    """Return how many names `for a, b in value` unpacks an element into, else 0."""
    for target, iterated in _bindings(func):
        if isinstance(target, ast.Tuple) and is_value(iterated):
            return len(target.elts) if len(target.elts) < 5 else 0
    return 0


def _is_letter(is_value: NodeTest, func: ast.FunctionDef) -> bool:
    """Return whether nothing compares the value with more than one character."""
    for node in ast.walk(func):
        match node:
            case ast.Compare(left, [ast.Eq() | ast.NotEq(), *_], others):
                sides = [left, *others]
                if any(map(is_value, sides)) and any(map(_is_long_text, sides)):
                    return False
            case ast.Call(ast.Attribute(value, "split" | "startswith")) if is_value(value):
                return False
    return True


def _is_long_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 1
