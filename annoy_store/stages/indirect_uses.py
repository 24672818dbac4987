"""Detects uses of clocks and host facts that no imported name shows by itself.

Decisions. What counts is an argument (SQL text, "now", an absolute path, code for `eval`), an
attribute whatever has it, or a memory address where its order or its digits matter: addresses are
the same in many runs of one program, and others elsewhere. An address that is only compared for
equality or kept in a set depends on nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

_CLOCK_METHODS = {"now", "utcnow", "today"}
_NOW_WORDS = {"now", "today"}
_TAKE_NOW = {"datetime64", "Timestamp", "to_datetime", "DatetimeIndex", "Period", "date_range"}
_TAKE_DTYPE = {"array", "asarray"}
_GENERATORS = {"Random", "RandomState", "default_rng"}
_OPENERS = {
    "open",
    "getline",
    "getlines",
    "loadtxt",
    "genfromtxt",
    "fromfile",
    "memmap",
    "read_csv",
}
_OPENERS |= {"ZipFile", "FileInput", "FileIO"}
_WRAPPERS = {"Path", "PosixPath", "PurePath", "join", "str", "fspath"}
_SQL_CLOCK = re.compile(
    r"'now'|\bcurrent_(?:date|time|timestamp)\b|\b(?:date|time|datetime|julianday|unixepoch)\(\s*\)",
    re.IGNORECASE,
)
_SQL_HOST = re.compile(r"\bsqlite_(?:version|source_id)\s*\(", re.IGNORECASE)
_SQL_WORD = re.compile(r"\b(?:select|insert|update|default|values|where)\b", re.IGNORECASE)
_HOST_ATTRIBUTES = {
    "__file__",
    "__cached__",
    "_max_workers",
    "co_code",
    "co_lnotab",
    "co_linetable",
}
_THREAD_ATTRIBUTES = {"ident", "native_id"}
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_QUEUES = {"heappush", "heappushpop", "heapreplace", "put", "put_nowait", "insort", "bisect"}


def indirect_uses(tree: ast.AST, modules: Collection[str]) -> Iterator[str]:
    """Yield the kind of each such use: `clock`, `entropy` or `host`.

    Args:
        tree: A module.
        modules: The names of the modules that it imports, without what follows a dot.
    """
    nodes = list(ast.walk(tree))
    own = {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    bound = own | {n.arg for n in nodes if isinstance(n, ast.arg)}
    bound |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    texts = dict(_constants(nodes))
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield from _of_attribute(node.attr, modules)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if "sqlite3" in modules and _SQL_WORD.search(node.value):
                yield from _of_sql(node.value)
        elif isinstance(node, ast.Call):
            yield from _of_method(node, own, modules)
            yield from _of_call(node, texts, bound)
        if "id" not in bound or "hash" not in bound:
            yield from _of_address(node, bound)


def code_in_texts(tree: ast.AST) -> Iterator[str]:
    """Yield the texts that a module gives to `eval`, `exec` or `compile`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in {"eval", "exec", "compile"}:
            yield from (text for text in map(_text, node.args[:1]) if text)


def _of_attribute(name: str, modules: Collection[str]) -> Iterator[str]:
    if name in _HOST_ATTRIBUTES:
        yield "host"
    elif name in _THREAD_ATTRIBUTES and "threading" in modules:
        yield "entropy"


def _of_method(call: ast.Call, own: set[str], modules: Collection[str]) -> Iterator[str]:
    """Yield the kind of a method that tells the time or makes a generator, whatever has it."""
    if isinstance(call.func, ast.Attribute):
        if call.func.attr in _CLOCK_METHODS - own and "datetime" in modules:
            yield "clock"
        if call.func.attr in _GENERATORS - own and not (call.args or call.keywords):
            yield "unseeded"


def _of_sql(text: str) -> Iterator[str]:
    if _SQL_CLOCK.search(text):
        yield "clock"
    if _SQL_HOST.search(text):
        yield "host"


def _of_call(call: ast.Call, texts: dict[str, str], bound: set[str]) -> Iterator[str]:
    name = _name(call.func)
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    dated = any(_text(part).startswith(("datetime64", "M8", "<M8")) for part in arguments)
    if name in _TAKE_NOW - bound or (dated and name in _TAKE_DTYPE):
        listed = [part for a in arguments if isinstance(a, ast.List) for part in a.elts]
        if any(_text(part).lower() in _NOW_WORDS for part in (*arguments, *listed)):
            yield "clock"
    if isinstance(call.func, ast.Attribute):
        arguments.append(call.func.value)
    if name in _OPENERS - bound and any(_begin(a, texts).startswith(("/", "~")) for a in arguments):
        yield "host"


def _begin(node: ast.expr, texts: dict[str, str]) -> str:
    """Return how the text that an expression makes begins, as far as that is written out."""
    if isinstance(node, ast.Name):
        return texts.get(node.id, "")
    if isinstance(node, ast.JoinedStr) and node.values:
        return _text(node.values[0])
    if isinstance(node, ast.BinOp):
        return _begin(node.left, texts)
    if isinstance(node, ast.Call) and node.args and _name(node.func) in _WRAPPERS:
        return _begin(node.args[0], texts)
    return _text(node)


def _of_address(node: ast.AST, bound: set[str]) -> Iterator[str]:
    """Yield `entropy` where the order or the digits of an address are used."""
    if isinstance(node, ast.keyword) and node.arg == "key":
        body = node.value.body if isinstance(node.value, ast.Lambda) else node.value
        parts = body.elts if isinstance(body, ast.Tuple) else [body]
        if any(_is_address(part, bound) or _is_name(part, bound) for part in parts):
            yield "entropy"
    elif isinstance(node, ast.BinOp):
        if _is_address(node.left, bound) or _is_address(node.right, bound):
            yield "entropy"
    elif isinstance(node, ast.Compare) and any(isinstance(op, _ORDERS) for op in node.ops):
        if any(_is_address(side, bound) for side in (node.left, *node.comparators)):
            yield "entropy"
    elif isinstance(node, ast.Call) and _name(node.func) in _QUEUES:
        tuples = [a for a in node.args if isinstance(a, (ast.Tuple, ast.List))]
        if any(_is_address(part, bound) for a in (*tuples,) for part in a.elts):
            yield "entropy"


def _is_name(node: ast.expr, bound: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id == "id" and "id" not in bound


def _is_address(node: ast.expr, bound: set[str]) -> bool:
    """Return whether an expression is `id(..)` or `hash(object())`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    if node.func.id == "hash" and "hash" not in bound and len(node.args) == 1:
        return isinstance(node.args[0], ast.Call) and _name(node.args[0].func) == "object"
    return _is_name(node.func, bound)


def _constants(nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    """Yield each name that is given a text, and how the text begins."""
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and (text := _begin(node.value, {})):
                    yield target.id, text


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
