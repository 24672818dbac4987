"""Limits on the size of values in questions, and the order in which pairs are asked about.

Decisions. The limits are those of the CodeI/O paper, applied to what a model reads, the JSON text,
not to Python's memory; every container and every string, keys included, obeys them. Pairs are
ordered so that outputs repeat as late as possible: pairs with the same output teach the same thing
twice and ask the same input question twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from annoy_store.hashing import canonical_json, compact_json
from annoy_store.parsing.json_values import MAX_DEPTH, children


def size_violation(
    value: Any, max_items: int = 20, max_string: int = 100, max_value_bytes: int = 1024
) -> str | None:
    """Return why a value is too large for a question.

    Args:
        value: A JSON value.
        max_items: The smallest number of items per container that is too large.
        max_string: The smallest number of characters per string or key that is too large.
        max_value_bytes: The smallest size as compact JSON in UTF-8 bytes that is too large.

    Returns:
        `too_deep`, `too_many_items`, `string_too_long`, `too_many_bytes`, or `not_json` for what
        JSON cannot hold, NaN and infinities included; None if the value is small enough.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if any(isinstance(part, (list, dict)) and len(part) >= max_items for part in level):
            return "too_many_items"
        if any(len(text) >= max_string for text in _texts(level)):
            return "string_too_long"
        level = [member for part in level for member in children(part)]
        if not level:
            break
    else:
        return "too_deep"
    try:
        return "too_many_bytes" if len(compact_json(value).encode()) >= max_value_bytes else None
    except (ValueError, TypeError):
        return "not_json"


def order_by_distinct_output(outputs: Sequence[str]) -> list[int]:
    """Return the indexes of outputs, ordered so that outputs repeat as late as possible.

    First comes the first of each distinct output, then the second ones, and so on; within each
    round the given order is kept. Outputs that differ in the order of keys only are equal.

    Args:
        outputs: JSON texts.
    """
    seen: Counter[str] = Counter()
    rounds: list[tuple[int, int]] = []
    for index, output in enumerate(outputs):
        key = canonical_json(json.loads(output))
        rounds.append((seen[key], index))
        seen[key] += 1
    return [index for _, index in sorted(rounds)]


def _texts(level: list[Any]) -> list[str]:
    keys = [key for part in level if isinstance(part, dict) for key in part]
    return [text for text in [*level, *keys] if isinstance(text, str)]
