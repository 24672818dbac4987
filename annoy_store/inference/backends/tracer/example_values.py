"""Collects argument values that a file shows: calls, doctests, `x = [..]` in descriptions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from annoy_store.inference.backends.tracer.source_file import SourceFile
from annoy_store.parsing.python_code import parse_module

_DOCTEST = re.compile(r"^\s*>>> (.+)$", re.MULTILINE)
_JSON_NAMES = {"true": True, "false": False, "null": None}


def example_values(
    name: str, names: list[str], source: SourceFile, doc: str
) -> dict[str, list[Any]]:
    """Collect the values that each parameter is given anywhere in a file, at most 12 each.

    Args:
        name: The name of the function.
        names: The names of its positional parameters.
        source: The file.
        doc: All text about the function.

    Returns:
        Values by parameter; parameters without examples are left out.
    """
    found: dict[str, list[Any]] = {}
    trees = [source.tree, *_doctests(source.text if ">>> " in doc else "")]
    known = _literals(source.tree)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) == name:
                _note_call(node, names, known, found)
    for parameter in names:
        found.setdefault(parameter, []).extend(_described(parameter, doc))
    return {key: values[:12] for key, values in found.items() if values}


def _doctests(text: str) -> Iterator[ast.Module]:
    for line in _DOCTEST.findall(text)[:40]:
        try:
            yield parse_module(line)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _literals(tree: ast.Module) -> dict[str, Any]:
    """Return the values of names that are assigned one literal."""
    known: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], _literal(node.value, {})
            if isinstance(target, ast.Name) and value is not None:
                known.setdefault(target.id, value)
    return known


def _literal(node: ast.expr, known: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return known.get(node.id)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _note_call(
    node: ast.Call, names: list[str], known: Mapping[str, Any], found: dict[str, list[Any]]
) -> None:
    if any(isinstance(part, ast.Starred) for part in node.args):
        return
    pairs = [*zip(names, node.args, strict=False)]
    pairs += [(word.arg, word.value) for word in node.keywords if word.arg in names]
    for parameter, part in pairs:
        value = _literal(part, known)
        if value is not None:
            found.setdefault(parameter, []).append(value)


def _described(parameter: str, doc: str) -> Iterator[Any]:
    """Yield the literals after `parameter =` in a description, JSON spelling allowed."""
    for match in re.finditer(rf"\b{re.escape(parameter)}\s*=\s*(?=[\[\"'\d-])", doc):
        text = _balanced(doc[match.end() : match.end() + 400])
        try:
            yield _plain(ast.parse(text, mode="eval").body)
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            continue


def _balanced(text: str) -> str:
    """Return the text up to where its brackets and quotes close."""
    depth, quote = 0, ""
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[({":
            depth += 1
        elif letter in "])}":
            depth -= 1
        elif letter in ",\n" and depth <= 0:
            return text[:at].strip()
        if depth < 0:
            return text[:at].strip()
    return text.strip()


def _plain(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return _JSON_NAMES[node.id] if node.id in _JSON_NAMES else ast.literal_eval(node)
    if isinstance(node, ast.List):
        return [_plain(part) for part in node.elts]
    return ast.literal_eval(node)
