"""Which values are fit to be asked about, and in which order.

Decisions. The bounds are the CodeI/O paper's numbers put on what a model reads, the JSON text, and
not on Python's memory; every container and every string, keys included, obeys them. Pairs are
asked about in an order in which outputs repeat as late as possible, for pairs that share an
output teach the same thing twice and ask the same input question twice.
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
    """Return why `value` is too large to be asked about, None if it is not.

    Each bound is the first size that is too large: items per container, characters per string,
    UTF-8 bytes as compact JSON. Words: `too_deep`, `too_many_items`, `string_too_long`,
    `too_many_bytes`, and `not_json` for what JSON cannot hold, NaN and infinities included.
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
    """Return the indexes of `outputs` (JSON texts) in the order of asking.

    First the first one of each distinct output, then the second ones, and so on; within a round
    the given order stays. The order of keys makes no output distinct.
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
