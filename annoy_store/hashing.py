"""What makes two rows the same row: canonical text, and a digest over it.

Decision: a digest covers content and other rows' digests, never ids, so that two stores fed the
same agree row by row. 128 bits of SHA-256 are kept: a billion rows collide with odds of 1e-21.
Values that code will see keep the order of their keys (`compact_json`), because a dict's order is
visible to Python; identity ignores it (`canonical_json`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from typing import Any

import orjson

_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNCLEAN = re.compile(r"[\ud800-\udfff]|\\u0000")
_SORTED = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
)


def clean_text(text: str) -> str:
    """Replace NUL and lone surrogates, which no database stores alike, by U+FFFD."""
    if text.isascii() and "\0" not in text:  # most texts, and much faster to check
        return text
    return _FORBIDDEN.sub("\ufffd", text)


def compact_json(value: Any) -> str:
    """Return `value` as JSON on one line, keys in their order.

    Raises:
        ValueError: NaN, an infinity or a cycle.
        TypeError: a value that JSON cannot hold.
    """
    return clean_text(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


class LossyJson(ValueError):
    """A value that JSON text cannot hold without losing a part; the message says which."""


def unique_keys(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object of its entries; an `object_pairs_hook` of `json.loads`.

    Raises:
        LossyJson: two keys are equal, so that one entry would be lost.
    """
    found = dict(entries)
    if len(found) < len(entries):
        repeated = next(key for key, n in Counter(key for key, _ in entries).items() if n > 1)
        raise LossyJson(f"keys of an object collide as JSON: {repeated[:80]!r} is repeated")
    return found


def exact_json(value: Any) -> str:
    """Return `value` as `compact_json` does, but replace nothing in it.

    Raises:
        LossyJson: a text has a lone surrogate, which UTF-8 cannot hold.
        ValueError: NaN, an infinity or a cycle.
        TypeError: a value that JSON cannot hold.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if not text.isascii() and _SURROGATE.search(text):
        raise LossyJson("a text has a lone surrogate")
    return text


def canonical_json(value: Any) -> str:
    """Return `value` as JSON on one line with sorted keys: equal values give equal text.

    Texts in it count as `clean_text` stores them, so a value equals what is read back.

    Raises:
        ValueError: NaN, an infinity or a cycle.
        TypeError: a value that JSON cannot hold.
    """
    text = _sorted(value)
    if text.isascii() and "\\u0000" not in text:
        return text
    return _sorted(_cleaned(json.loads(text))) if _UNCLEAN.search(text) else text


def digest(kind: str, *parts: Any) -> str:
    """Return the content hash of a row.

    Args:
        kind: what the row is, e.g. `source`; equal parts of another kind hash differently.
        parts: the content: JSON values, digests of other rows, never ids.

    Returns:
        32 hexadecimal digits, the first half of SHA-256 over `[kind, *parts]` as canonical JSON.
    """
    data = _texts([kind, *parts]) or canonical_json([kind, *parts]).encode()
    return hashlib.sha256(data).hexdigest()[:32]


def _texts(parts: list[Any]) -> bytes | None:
    """`canonical_json` of clean texts and chat messages, the usual cases, much faster; or None."""
    if not all(type(part) is str or _is_messages(part) for part in parts):
        return None
    try:
        data = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a lone surrogate
        return None
    return None if b"\\u0000" in data else data


def _is_messages(part: Any) -> bool:
    return type(part) is list and all(
        type(message) is dict
        and all(type(text) is str for pair in message.items() for text in pair)
        for message in part
    )


def derive_seed(*parts: Any) -> int:
    """Return a seed below 2**32 that depends on `parts` alone."""
    return int(digest("seed", *parts)[:8], 16)


def _sorted(value: Any) -> str:
    return _SORTED.encode(value)


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {clean_text(key): _cleaned(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_cleaned(part) for part in value]
    return clean_text(value) if isinstance(value, str) else value
