r"""Reads one value from text that is JSON or close to it, as models write it.

Decisions. Python literals, trailing commas, keys without quotes, comments (`//`, `#`, `/* */`),
unusual spaces between tokens and LaTeX's `\{`, `\[` are accepted with their meaning; tuples become
lists and keys strings, as in JSON. Strings in double quotes are read as JSON, but as Python where
the text has what only Python has. NaN, infinities, integers of more than 4,300 digits, numbers with
leading zeros (`1,000` in a list), more than 64 levels, keys that are equal (as JSON or as Python:
`{1: 0, "1": 0}`, `{1: 0, True: 0}`) and lone surrogates are values that are rejected, which differs from text that is no value.
"""

from __future__ import annotations

import ast
import json
import math
import re
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from annoy_store.hashing import LossyJson, exact_json, unique_keys
from annoy_store.parsing.invisible import SPACES, ZERO_WIDTH
from annoy_store.parsing.json_spans import COMMENT_PATTERN, STRING_PATTERN
from annoy_store.parsing.python_code import parse_expression

MAX_DEPTH = 64  # levels of containers in a value
MAX_LITERAL_CHARS = 65_536
MAX_DIGITS = 4_300

_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"
_COLLIDE = "keys of an object collide"

_UNREADABLE = (ValueError, TypeError, SyntaxError, MemoryError, OverflowError)
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'(?:[^\\]|\\.)*?\'\'\''
    rf"|(?P<prefix>[rbuf]{{0,2}})(?:{STRING_PATTERN})"
    rf"|(?P<comment>(?<!:)//[^\n]*|#[^\n]*|{COMMENT_PATTERN})"
    rf"|(?P<key>[^\W\d]\w*)(?=[\s{SPACES}{ZERO_WIDTH}]{{0,99}}:)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<number>(?<![\w.])\d(?:[\w.]|(?<=e)[+-])*)"
    r"|\\(?P<bracket>[][{}()])"
    rf"|(?P<space>[{SPACES}])|(?P<nothing>[{ZERO_WIDTH}])",
    re.DOTALL | re.IGNORECASE,
)
_ONLY_PYTHON = re.compile(rf"(?:{STRING_PATTERN})|(?P<python>\b(?:True|False|None)\b)")
_LEADING_ZERO = re.compile(r"0[\d_]")
_OPERAND = re.compile(r"//\s*[-+(]*\s*\.?\d")
_JSON_WORDS = {"true": "True", "false": "False", "null": "None"}
_NON_FINITE = {"nan", "inf", "infinity"}


class UnsupportedValue(Exception):
    """The text is a value, but not one that is accepted; the message says why."""


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
        raise UnsupportedValue(_TOO_DEEP) from None
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
        raise UnsupportedValue(_TOO_DEEP)
    try:
        text = exact_json(value)
        return JsonValue(json.loads(text, object_pairs_hook=unique_keys), text)
    except LossyJson as error:
        raise UnsupportedValue(str(error)) from None
    except ValueError:
        raise UnsupportedValue("a number is not finite or too long") from None


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
        return _literal(text, drafts)
    if any(found is not value or not drafts for found in collided):
        raise UnsupportedValue(_COLLIDE)
    return value


def _reject(token: str) -> NoReturn:
    raise UnsupportedValue(f"JSON has no {token}")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise UnsupportedValue(f"a number has more than {MAX_DIGITS:,} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise UnsupportedValue("a number is too large")
    return number


def _literal(text: str, drafts: bool) -> Any:
    """Read a Python literal, or what is close to it and to JSON."""
    if len(text) > MAX_LITERAL_CHARS:
        raise ValueError("too long for a literal")
    is_python = any(m["python"] or m[0][0] == "'" for m in _ONLY_PYTHON.finditer(text))
    tree = parse_expression(_TOKEN.sub(partial(_to_python_token, is_python), text).strip())
    value = ast.literal_eval(tree)
    if any(_keys_collide(node) and not (drafts and node is tree) for node in ast.walk(tree)):
        raise UnsupportedValue(_COLLIDE)
    return value


def _keys_collide(node: ast.AST) -> bool:
    """Return whether a literal dict has two equal keys, of which Python keeps the last."""
    if not isinstance(node, ast.Dict):
        return False
    keys = [ast.literal_eval(key) for key in node.keys if key is not None]
    return len(set(keys)) < len(keys)


def _to_python_token(is_python: bool, token: re.Match[str]) -> str:
    """Return a token as Python writes it.

    Args:
        is_python: Whether the text has what only Python has.
        token: A match of `_TOKEN`.
    """
    word = token[0]
    if token["comment"]:
        return word if _is_division(token) else " "
    if token["number"]:
        if _LEADING_ZERO.match(word):
            raise UnsupportedValue("a number has leading zeros")
        return word
    if token["bracket"] or token["space"] or token["nothing"]:
        return token["bracket"] or (" " if token["space"] else "")
    if word.lower() in _NON_FINITE:
        raise UnsupportedValue(f"JSON has no {word}")
    if token["key"] or token["word"]:
        quoted = token["key"] and word not in _JSON_WORDS and word not in _JSON_WORDS.values()
        return repr(word) if quoted else _JSON_WORDS.get(word, word)
    return word if is_python or token["prefix"] else _json_string(word)


def _json_string(word: str) -> str:
    try:
        return repr(json.loads(word, strict=False))
    except ValueError:
        return word


def _is_division(comment: re.Match[str]) -> bool:
    """Return whether `//` stands between a value and a number."""
    before = comment.string[: comment.start()].rstrip()[-1:]
    return _OPERAND.match(comment[0]) is not None and (before.isalnum() or before in ")]._")
