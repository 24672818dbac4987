"""Values of an I/O pair, and how they are written in texts: as JSON, as Python, or bare."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from annoy_store.parsing import json_values
from annoy_store.parsing.shown_texts import closing_bracket
from annoy_store.tasks import compare

CALL, INPUT, NO = "call", "input", "no"
MAX_FINDS = 50  # of one kind in one text
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d_]*+\.?\d*+|\.\d++)(?:[eE][-+]?\d+)?(?!\w)")
_WORDS: dict[Any, str] = {True: r"\b[Tt]rue\b", False: r"\b[Ff]alse\b", None: r"\b(?:None|null)\b"}


@dataclass(frozen=True)
class Pair:
    """The values of an I/O pair; `has_output` unless its output is not known."""

    input: dict[str, Any]
    output: Any
    has_output: bool

    def is_told(self, values: Iterable[Any], text: str) -> bool:
        """Whether the output is one of `values`, or stands in `text`."""
        return self.has_output and (
            any(self._is_output(value) for value in values) or _tells(text, self.output)
        )

    def _is_output(self, value: Any) -> bool:
        if isinstance(value, str) and not isinstance(self.output, str):  # `str(f(5)) == "7"`
            return _reads_as(value, self.output)
        return compare.same(self.output, as_json(value))


def is_telling(given: dict[str, Any]) -> bool:
    """Whether an input is more than a single number or word."""
    return len(given) > 1 or any(isinstance(v, (list, dict)) and v for v in given.values())


def as_json(value: Any) -> Any:
    """A value as JSON has it; what JSON cannot hold stays as it is."""
    if isinstance(value, (set, frozenset)):
        try:
            value = sorted(value)
        except TypeError:
            value = list(value)
    if isinstance(value, dict):
        return {_key(key): as_json(part) for key, part in value.items()}
    return [as_json(part) for part in value] if isinstance(value, (list, tuple, range)) else value


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key) if _is_plain(key) else str(key)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float))


def equal(left: Any, right: Any) -> bool:
    """Return whether two values are equal, without a tolerance."""
    return compare.same(left, right, tolerance=0.0, same_integer_part=False)


def prefix(text: str, value: Any) -> int:
    """The number of characters at the beginning of a text that are a value; 0 if it is another."""
    if isinstance(value, (list, dict)):
        end = closing_bracket(text, 0) if text[:1] in ("[", "{", "(") else None
        return end if end is not None and _reads_as(text[:end], value) else 0
    if isinstance(value, str):
        quoted = next((q for q in (json.dumps(value), repr(value)) if text.startswith(q)), "")
        bare = re.match(rf"{re.escape(value)}(?!\w)", text) if value else None
        return len(quoted) or (bare.end() if bare else 0)
    if isinstance(value, bool) or value is None:
        found = re.match(_WORDS[value], text)
        return found.end() if found else 0
    found = _NUMBER.match(text)
    return found.end() if found and equal(_number(found[0]), value) else 0


def _tells(text: str, value: Any) -> bool:
    """Whether a value stands somewhere in a text, by value where it is a number or container."""
    if not text.strip():
        return False
    if isinstance(value, bool) or value is None:
        return re.search(_WORDS[value], text) is not None
    if isinstance(value, str):
        return _tells_string(text, value)
    if isinstance(value, (int, float)):
        numbers = itertools.islice(_NUMBER.finditer(text), MAX_FINDS)
        return any(compare.same(value, _number(found[0])) for found in numbers)
    starts = [found.start() for found in re.finditer(r"[\[({]", text)][:MAX_FINDS]
    return any(
        (end := closing_bracket(text, start)) is not None and _reads_as(text[start:end], value)
        for start in starts
    )


def _tells_string(text: str, value: str) -> bool:
    if any(quoted in text for quoted in (json.dumps(value), repr(value), f"`{value}`")):
        return True
    words = " ".join(value.split())
    spaced = " ".join(text.split())
    return bool(words) and re.search(rf"(?<!\w){re.escape(words)}(?!\w)", spaced) is not None


def read(text: str) -> json_values.JsonValue | None:
    """Return the value of a text; None if it is none, or one that is not accepted."""
    try:
        return json_values.parse_value(text)
    except json_values.UnsupportedValue:
        return None


def _reads_as(text: str, value: Any) -> bool:
    """Whether a text is a value, as JSON or Python."""
    found = read(text)
    return found is not None and compare.same(value, found.value)


def _number(text: str) -> float | int:
    digits = text.replace("_", "")
    try:
        return int(digits)
    except ValueError:
        return float(digits)
