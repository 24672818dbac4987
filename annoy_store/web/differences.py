"""The difference of an answer from another, word by word.

Decision: lines are compared first, and words inside the lines that differ, so that long answers
cost little and a sentence that was reworded shows the words.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_LINES = 2_000  # that are compared
MAX_WORDS = 1_500  # that are compared inside of lines
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class DiffPart:
    """A piece of an answer; `mark` is `new`, `gone` or ''."""

    text: str
    mark: str


def marked_parts(own: str, other: str | None, mark: str) -> list[DiffPart]:
    """Return a text in pieces, marked where the other text lacks them.

    Args:
        own: The text.
        other: The text that it is compared with; None for none.
        mark: Mark of what the other text lacks.
    """
    lines = own.splitlines(keepends=True)
    others = [] if other is None else other.splitlines(keepends=True)
    if other is None or max(len(lines), len(others)) > MAX_LINES:
        return [DiffPart(own, "")]
    return _joined(_compare_lines(lines, others, mark))


def _compare_lines(own: Sequence[str], other: Sequence[str], mark: str) -> Iterator[DiffPart]:
    matcher = difflib.SequenceMatcher(None, own, other, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield DiffPart("".join(own[a:b]), "")
        elif tag == "replace":
            yield from _compare_words("".join(own[a:b]), "".join(other[c:d]), mark)
        else:
            yield DiffPart("".join(own[a:b]), mark)


def _compare_words(own: str, other: str, mark: str) -> Iterator[DiffPart]:
    words, others = _WORDS.findall(own), _WORDS.findall(other)
    if max(len(words), len(others)) > MAX_WORDS:
        yield DiffPart(own, mark)
        return
    matcher = difflib.SequenceMatcher(None, words, others, autojunk=False)
    for tag, a, b, _, _ in matcher.get_opcodes():
        yield DiffPart("".join(words[a:b]), "" if tag == "equal" else mark)


def _joined(parts: Iterator[DiffPart]) -> list[DiffPart]:
    """Join neighbours with the same mark, and leave out what is empty."""
    joined: list[DiffPart] = []
    for part in parts:
        if joined and joined[-1].mark == part.mark:
            joined[-1] = DiffPart(joined[-1].text + part.text, part.mark)
        elif part.text:
            joined.append(part)
    return joined
