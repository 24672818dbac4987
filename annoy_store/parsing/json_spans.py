"""Finds the spans of JSON objects in free text in linear time.

Decisions. A `{` in prose may never close and quotes in prose may never pair, so each mark is read
as if the text began there. Marks are processed from the last to the first, so that what follows is
already known: each mark takes constant time and the whole text linear time, for any input. Strings,
in single or double quotes, end at the end of their line.
"""

from __future__ import annotations

import re

STRING_PATTERN = r""""(?:[^"\\\n]++|\\.)*+"|'(?:[^'\\\n]++|\\.)*+'"""

_MARK = re.compile(r"[{}\[\]\"'\\\n]")
_COLON = re.compile(r"\s{0,99}+:")


class ObjectSpans:
    """The objects of a text: where each `{` closes, and which objects hold a key directly.

    Attributes:
        text: The text that was searched.
        key: The key that was searched for.
        ends: For each object that closes: the index of its `{`, and the index after its `}`.
    """

    def __init__(self, text: str, key: str) -> None:
        """Search a text.

        Args:
            text: Any text.
            key: The key that wanted objects hold at their top level.
        """
        self.text, self.key = text, key
        self.ends: dict[int, int] = {}
        self._keyed: list[int] = []  # starts of the objects that hold the key, last one first
        self._at = [mark.start() for mark in _MARK.finditer(text)]
        size = len(self._at) + 2
        # By mark, if plain text continues there: the first closer that belongs to an opener before
        # it (None: there is none, or brackets are crossed), and whether the key is in between.
        self._closer: list[int | None] = [None] * size
        self._key_ahead = [False] * size
        # By mark, if a string continues there: the mark that ends it.
        self._quote: dict[str, list[int | None]] = {'"': [None] * size, "'": [None] * size}
        for mark in reversed(range(len(self._at))):
            self._process(mark, text[self._at[mark]])

    def outermost(self) -> list[tuple[int, int]]:
        """Return start and end of the objects that hold the key, in order, none inside another."""
        spans: list[tuple[int, int]] = []
        for start in reversed(self._keyed):
            if not spans or start >= spans[-1][1]:
                spans.append((start, self.ends[start]))
        return spans

    def _process(self, mark: int, char: str) -> None:
        escaped = self._escaped(mark) if char == "\\" else ""
        within = mark + 2 if escaped.strip("\n") else mark + 1
        for quote, ends in self._quote.items():
            ends[mark] = mark if char == quote else None if char == "\n" else ends[within]
        if char in "}]":
            self._closer[mark] = mark
        elif char in "{[":
            self._open(mark, char)
        elif char in "\"'":
            self._copy_state(mark, self._string(mark, char))
        else:
            self._copy_state(mark, mark + 2 if escaped and escaped in "\"'\\" else mark + 1)

    def _copy_state(self, mark: int, after: int) -> None:
        self._closer[mark] = self._closer[after]
        self._key_ahead[mark] |= self._key_ahead[after]

    def _escaped(self, mark: int) -> str:
        """Return the mark directly after a backslash, "" if there is none."""
        behind = self._at[mark] + 1
        return self.text[behind] if self._at[mark + 1 : mark + 2] == [behind] else ""

    def _open(self, mark: int, char: str) -> None:
        closer = self._closer[mark + 1]
        if closer is None or char + self.text[self._at[closer]] not in ("{}", "[]"):
            return
        self._closer[mark] = self._closer[closer + 1]
        self._key_ahead[mark] = self._key_ahead[closer + 1]
        if char == "{":
            self.ends[self._at[mark]] = self._at[closer] + 1
            if self._key_ahead[mark + 1]:
                self._keyed.append(self._at[mark])

    def _string(self, mark: int, quote: str) -> int:
        """Return the mark after the string that begins here; an unpaired quote is plain text."""
        end = self._quote[quote][mark + 1]
        if end is None:
            return mark + 1
        start, stop = self._at[mark] + 1, self._at[end]
        if stop - start == len(self.key) and self.text.startswith(self.key, start):
            self._key_ahead[mark] = _COLON.match(self.text, stop + 1) is not None
        return end + 1
