"""Finds the spans of JSON objects in free text in linear time.

Decisions. A `{` in prose may never close and quotes in prose may never pair, so each mark is read
as if the text began there. Marks are processed from the last to the first, so that what follows is
already known: each mark takes constant time and the whole text linear time, for any input. Strings,
in single or double quotes, end at the end of their line. Keys without quotes (`{output: 3}`) or in
other letter case count too, but are told apart, for prose may hold them.
"""

from __future__ import annotations

import re

from annoy_store.parsing.invisible import SPACES, ZERO_WIDTH

# No group is repeated possessively: Python 3.11.0 to 3.11.4 match that wrongly (gh-106052).
_DOUBLE_QUOTED = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"'
_SINGLE_QUOTED = r"'[^'\\\n]*+(?:\\.[^'\\\n]*+)*'"
STRING_PATTERN = f"{_DOUBLE_QUOTED}|{_SINGLE_QUOTED}"
COMMENT_PATTERN = r"/\*[\s\S]{0,2000}?\*/"

_GAP = rf"[\s{SPACES}{ZERO_WIDTH}]{{0,99}}"
_COLON = re.compile(rf"{_GAP}:")
_KEY_FOLLOWS = re.compile(rf"[{{,]{_GAP}\Z")
_EXACT, _SIMILAR = 1, 2  # how a key is written
_COMMENT = re.compile(
    rf"{_DOUBLE_QUOTED}|(?<!\w){_SINGLE_QUOTED}|"
    rf"(?<![:\w])//[^\n]*|(?<!\S)#[^\n]*|{COMMENT_PATTERN}"
)


def blank_comments(text: str) -> str:
    """Replace comments (`//`, `#`, `/* */`) by as many spaces; line ends stay.

    `//` or `#` before a bracket that closes what stands before it is no comment, unless it follows
    a comma or an opening bracket: the author may have written the end of the object there.
    """
    return _COMMENT.sub(_blank, text) if "//" in text or "#" in text or "/*" in text else text


def _blank(found: re.Match[str]) -> str:
    comment = found[0]
    unbalanced = comment[:2] != "/*" and any(
        comment.count(a) < comment.count(b) for a, b in ("{}", "[]")
    )
    before = found.string[max(0, found.start() - 100) : found.start()].rstrip()[-1:]
    if comment[0] in "\"'" or (unbalanced and before not in set(",[{(:")):
        return comment
    return re.sub(r"[^\n]", " ", comment)


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
        self._keyed: list[tuple[int, int]] = []  # start and writing of the key, last one first
        marks = rf"[{{}}\[\]\"'\\\n]|(?<![\w\"'.$-]){re.escape(key)}(?={_GAP}:)"
        self._at = [mark.start() for mark in re.finditer(marks, text, re.IGNORECASE)]
        size = len(self._at) + 2
        # By mark, if plain text continues there: the first closer that belongs to an opener before
        # it (None: there is none, or brackets are crossed), and how the key is written in between.
        self._closer: list[int | None] = [None] * size
        self._key_ahead = [0] * size
        # By mark, if a string continues there: the mark that ends it.
        self._quote: dict[str, list[int | None]] = {'"': [None] * size, "'": [None] * size}
        for mark in reversed(range(len(self._at))):
            self._process(mark, text[self._at[mark]])

    def outermost(self, *, similar: bool = False) -> list[tuple[int, int]]:
        """Return start and end of the objects that hold the key, in order, none inside another.

        Args:
            similar: Whether a key without quotes or in other letter case counts too.
        """
        wanted = _EXACT | _SIMILAR if similar else _EXACT
        spans: list[tuple[int, int]] = []
        for start, written in reversed(self._keyed):
            if not written & wanted:
                continue
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
        elif char.isalpha():
            self._copy_state(mark, mark + 1)
            before = self.text[max(0, self._at[mark] - 100) : self._at[mark]]
            self._key_ahead[mark] |= _SIMILAR if _KEY_FOLLOWS.search(before) else 0
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
                self._keyed.append((self._at[mark], self._key_ahead[mark + 1]))

    def _string(self, mark: int, quote: str) -> int:
        """Return the mark after the string that begins here; an unpaired quote is plain text."""
        end = self._quote[quote][mark + 1]
        if end is None:
            return mark + 1
        start, stop = self._at[mark] + 1, self._at[end]
        if stop - start == len(self.key) and _COLON.match(self.text, stop + 1):
            word = self.text[start:stop]
            if word.lower() == self.key:
                self._key_ahead[mark] |= _EXACT if word == self.key else _SIMILAR
        return end + 1
