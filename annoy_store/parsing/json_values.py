r"""Reads one value from text that is JSON or close to it, as models write it.

Decisions. Python literals, trailing commas and LaTeX's `\{` are accepted with their meaning; tuples
become lists and keys strings, as in JSON. NaN, infinities, integers of more than 4,300 digits,
more than 64 levels, keys that are equal (as JSON or as Python: `{1: 0, "1": 0}`, `{1: 0, True: 0}`)
and lone surrogates are values that are rejected, which differs from text that is no value.
"""

from __future__ import annotations

import ast
import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from annoy_store.hashing import LossyJson, exact_json, unique_keys
from annoy_store.parsing.json_spans import STRING_PATTERN
from annoy_store.parsing.python_code import parse_expression

MAX_DEPTH = 64  # levels of containers in a value
MAX_LITERAL_CHARS = 65_536
MAX_DIGITS = 4_300

_UNREADABLE = (ValueError, TypeError, SyntaxError, MemoryError, OverflowError)
_TOKEN = re.compile(STRING_PATTERN + r"|[^\W\d]\w*")
_JSON_WORDS = {"true": "True", "false": "False", "null": "None"}
_NON_FINITE = {"nan", "inf", "infinity"}


class UnsupportedValue(Exception):
    """The text is a value, but not one that is accepted."""


@dataclass(frozen=True)
class JsonValue:
    """A JSON value and its compact text."""

    value: Any
    text: str


def parse_value(text: str, *, drafts: bool = False) -> JsonValue | None:
    """Return the value of a text, None if it is not a value.

    Args:
        text: JSON, a Python literal, or something close to either.
        drafts: Whether the outermost object may hold a key twice; its last entry counts then.

    Raises:
        UnsupportedValue: It is not finite, nested too deeply, has too long a number, keys that
            collide, or a lone surrogate.
    """
    try:
        return to_json_value(_value(text, drafts))
    except RecursionError:
        raise UnsupportedValue("too deep") from None
    except _UNREADABLE:
        return None


def to_json_value(value: Any) -> JsonValue:
    """Convert a Python value to JSON: tuples become lists and keys strings.

    Raises:
        UnsupportedValue: It is not finite, nested too deeply, has too long a number, keys that
            collide, or a lone surrogate.
        TypeError: JSON cannot hold it.
    """
    if is_too_deep(value):
        raise UnsupportedValue("too deep")
    try:
        text = exact_json(value)
        return JsonValue(json.loads(text, object_pairs_hook=unique_keys), text)
    except LossyJson as error:
        raise UnsupportedValue(str(error)) from None
    except ValueError:
        raise UnsupportedValue("no JSON number") from None


def is_too_deep(value: Any) -> bool:
    """Return whether a value has more than `MAX_DEPTH` levels of containers above a leaf."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [member for part in level for member in children(part)]
    return bool(level)


def children(part: Any) -> list[Any]:
    """Return the values directly inside a container; a leaf has none."""
    if isinstance(part, dict):
        return list(part.values())
    return list(part) if isinstance(part, (list, tuple)) else []


def _value(text: str, drafts: bool) -> Any:
    collided: list[dict[str, Any]] = []

    def entries(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            collided.append(found)
        return found

    try:
        value = json.loads(
            text,
            strict=False,
            parse_constant=_reject,
            parse_int=_integer,
            parse_float=_finite,
            object_pairs_hook=entries,
        )
    except json.JSONDecodeError:
        return _literal(text.replace("\\{", "{").replace("\\}", "}"), drafts)
    if any(found is not value or not drafts for found in collided):
        raise UnsupportedValue("keys collide")
    return value


def _reject(token: str) -> NoReturn:
    raise UnsupportedValue(token)


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= MAX_DIGITS else _reject(digits[:9])


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _reject(digits[:9])


def _literal(text: str, drafts: bool) -> Any:
    """Read a Python literal; `true`, `false` and `null` are accepted too."""
    if len(text) > MAX_LITERAL_CHARS:
        raise ValueError("too long for a literal")
    tree = parse_expression(_TOKEN.sub(_to_python_token, text.strip()))
    value = ast.literal_eval(tree)
    if any(_keys_collide(node) and not (drafts and node is tree) for node in ast.walk(tree)):
        raise UnsupportedValue("keys collide")
    return value


def _keys_collide(node: ast.AST) -> bool:
    """Return whether a literal dict has two equal keys, of which Python keeps the last."""
    if not isinstance(node, ast.Dict):
        return False
    keys = [ast.literal_eval(key) for key in node.keys if key is not None]
    return len(set(keys)) < len(keys)


def _to_python_token(token: re.Match[str]) -> str:
    word = token[0]
    if word[0] == '"':
        try:
            return repr(json.loads(word, strict=False))
        except ValueError:
            return word
    if word.lower() in _NON_FINITE:
        raise UnsupportedValue(word)
    return _JSON_WORDS.get(word, word)
