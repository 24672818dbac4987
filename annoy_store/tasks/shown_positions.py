"""Inputs and results that a text shows by their position: in cells, after labels, or as they are.

Decisions. A number or word alone counts only together with its result, which stands in the next
cell (`| 5 | 7 |`, `5 -> 7`) or after a word for a result (`Input: 5, Output: 7`). A container or
several arguments count by themselves after a label; elsewhere only those of some size do.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from annoy_store.parsing.shown_texts import text_beside
from annoy_store.tasks.shown_values import CALL, INPUT, MAX_FINDS, Pair, is_telling, prefix

_CELL = re.compile(r"-+>|→|=>|⇒|↦|\||\t")
_LABEL = re.compile(
    r"\b(?P<word>inputs?|arguments?|args|given|examples?|in(?=\s*:))\b"
    r"(?:[ \t]+(?:is|are|of|the|an?|array|list|string|text|word|number|integer|value)\b)*[\s:=*_`]*",
    re.IGNORECASE,
)
_INDEX = re.compile(r"[ \t]+#?\d+[\s:=*_`]*")
_GAP = re.compile(r"[\s,;`*]*(?:and\s+)?")
_NAMED_GAP = re.compile(r"[\s,;`*]*(?:and\s+)?[A-Za-z_]\w*`?\s*[=:]?\s*`?")
_RESULT = re.compile(
    r"\b(?:outputs?|results?|expected|returns?|answer|gives?|yields?|out(?=\s*:))\b|->|→|=>",
    re.IGNORECASE,
)


def by_position(pair: Pair, texts: Iterable[str]) -> Iterator[str]:
    """Yield what texts show of a pair: `call` or `input`.

    Args:
        pair: The pair.
        texts: Descriptions, docstrings, comments.
    """
    first = next(iter(pair.input.values()), None)
    forms = [list(pair.input.values())]
    if len(pair.input) == 1 and isinstance(first, list) and len(first) > 1:
        forms.append(first)  # bare: `1 2 3`
    for text in texts if pair.input else ():
        for values in forms:
            yield from _in_cells(pair, values, text)
            for start in _labelled(text):
                yield from _at_start(pair, values, text, start, needs_label=True)
        for start in _starts_of(first, text):
            yield from _at_start(pair, forms[0], text, start, needs_label=False)


def _in_cells(pair: Pair, values: Sequence[Any], text: str) -> Iterator[str]:
    for line in text.split("\n"):
        cells = [cell for part in _CELL.split(line) if (cell := part.strip(" `*-"))]
        for given, result in _neighbours(cells, len(values)) if len(cells) > 1 else ():
            bare = given[1:-1] if given[0] + given[-1] in ("()", "[]") else given
            fits = any(_size(form, values) == len(form) for form in (given, bare))
            if fits and pair.is_told((), result):
                yield CALL


def _neighbours(cells: Sequence[str], n: int) -> Iterator[tuple[str, str]]:
    """Cells, or `n` of them together, each with the one that follows."""
    for size in {1, n}:
        for start in range(len(cells) - size):
            yield ", ".join(cells[start : start + size]), cells[start + size]


def _labelled(text: str) -> Iterator[int]:
    """Where what follows a label begins."""
    for label in itertools.islice(_LABEL.finditer(text), MAX_FINDS):
        yield label.end()
        if index := _INDEX.match(text, label.end("word")):
            yield index.end()


def _starts_of(value: Any, text: str) -> list[int]:
    """Where a container of several items, or a quoted word, may begin."""
    if isinstance(value, (list, dict)) and len(value) > 1:
        pattern = r"[\[({]"
    elif isinstance(value, str) and len(value) > 2 and value in text:
        pattern = rf"[\"'`](?={re.escape(value)})"
    else:
        return []
    return [found.start() for found in itertools.islice(re.finditer(pattern, text), MAX_FINDS)]


def _at_start(
    pair: Pair, values: Sequence[Any], text: str, start: int, *, needs_label: bool
) -> Iterator[str]:
    """What is shown where the arguments begin at one place of a text.

    Args:
        pair: The pair.
        values: Its arguments.
        text: The text.
        start: Where they may begin.
        needs_label: Whether only what follows a word for a result tells it.
    """
    inner = start + (text[start : start + 1] in ("(", "["))
    end = next((at + n for at in (start, inner) if (n := _size(text[at : at + 4_000], values))), 0)
    if not end:
        return
    line = text[end:].split("\n", 1)[0][:500]
    beside = after_label(text[end : end + 500])
    if pair.is_told((), beside) or (not needs_label and pair.is_told((), line)):
        yield CALL
    elif is_telling(pair.input) and (needs_label or _many(values)):
        yield INPUT


def _many(values: Sequence[Any]) -> bool:
    return len(values) > 1 or any(isinstance(v, (list, dict)) and len(v) > 2 for v in values)


def after_label(text: str) -> str:
    """Return what is told behind the first word for a result, before the next input; "" without one."""
    result = _RESULT.search(text)
    following = _LABEL.search(text)
    if result is None or (following and following.start() < result.start()):
        return ""
    return text_beside(text, result.end(), *result.span())


def _size(text: str, values: Sequence[Any]) -> int:
    """The number of characters at the beginning of a text that are values; 0 if it has others."""
    at = 0
    for value in values:
        gaps = {found.end() for form in (_GAP, _NAMED_GAP) if (found := form.match(text, at))}
        ends = (gap + size for gap in sorted(gaps) if (size := prefix(text[gap:], value)))
        at = next(ends, 0)
        if not at:
            return 0
    return at + (text[at : at + 1] == "`")
