"""One value out of text that is JSON, or nearly: what models write when JSON is asked for.

Decisions. Python literals, trailing commas and LaTeX's `\\{` are read as what they mean; tuples
become lists and keys strings, as JSON has them. NaN, infinities, integers of more than 4,300 digits
and more than 64 levels are a value that is refused, which differs from text that is no value.
"""

from __future__ import annotations

import ast
import json
import math
import re
import threading
import warnings
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from annoy_store.hashing import compact_json
from annoy_store.parsing.json_spans import STRING_PATTERN

MAX_DEPTH = 64  # levels of containers in a value
MAX_LITERAL_CHARS = 65_536
MAX_DIGITS = 4_300

_UNREADABLE = (ValueError, TypeError, SyntaxError, MemoryError, OverflowError)
_WORD = re.compile(STRING_PATTERN + r"|[^\W\d]\w*")
_WORDS = {"true": "True", "false": "False", "null": "None"}
_NON_FINITE = {"nan", "inf", "infinity"}


class UnsupportedValue(Exception):
    """There is a value, and by rule it counts as none."""


@dataclass(frozen=True)
class JsonValue:
    """A JSON value, and its text in one line."""

    value: Any
    text: str


def parse_value(text: str) -> JsonValue | None:
    """Return the value that `text` spells, None if it spells none. Raises Refused."""
    try:
        return to_json_value(_value(text))
    except RecursionError:
        raise UnsupportedValue("too deep") from None
    except _UNREADABLE:
        return None


def to_json_value(value: Any) -> JsonValue:
    """Return `value` as JSON has it. Raises Refused, and TypeError for what JSON cannot hold."""
    if is_too_deep(value):
        raise UnsupportedValue("too deep")
    try:
        text = compact_json(value)
        return JsonValue(json.loads(text), text)
    except ValueError:
        raise UnsupportedValue("no JSON number") from None


def is_too_deep(value: Any) -> bool:
    """Tell whether `value` has more than `DEEPEST` levels of containers above a leaf."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [member for part in level for member in children(part)]
    return bool(level)


def children(part: Any) -> list[Any]:
    """Return the values right inside of a container; a leaf has none."""
    if isinstance(part, dict):
        return list(part.values())
    return list(part) if isinstance(part, (list, tuple)) else []


_one_at_a_time = threading.Lock()  # catch_warnings changes what all threads see


def parse_python(code: str, mode: Literal["exec", "eval"]) -> ast.AST:
    """Parse Python without a word about doubtful escapes, whatever the warning filters say."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code, mode=mode)


def _value(text: str) -> Any:
    try:
        return json.loads(
            text, strict=False, parse_constant=_refuse, parse_int=_integer, parse_float=_finite
        )
    except json.JSONDecodeError:
        return _literal(text.replace("\\{", "{").replace("\\}", "}"))


def _refuse(token: str) -> NoReturn:
    raise UnsupportedValue(token)


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= MAX_DIGITS else _refuse(digits[:9])


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits[:9])


def _literal(text: str) -> Any:
    """Read a Python literal, in which JSON's words count too."""
    if len(text) > MAX_LITERAL_CHARS:
        raise ValueError("too long for a literal")
    return ast.literal_eval(parse_python(_WORD.sub(_pythonic, text.strip()), "eval"))


def _pythonic(token: re.Match[str]) -> str:
    word = token[0]
    if word[0] == '"':
        try:
            return repr(json.loads(word, strict=False))
        except ValueError:
            return word
    if word.lower() in _NON_FINITE:
        raise UnsupportedValue(word)
    return _WORDS.get(word, word)
