"""Invisible characters and spaces other than the plain one, which texts copied from pages hold."""

from __future__ import annotations

import re

SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"  # no-break, ideographic and typographic
ZERO_WIDTH = "\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"

_SPACE = re.compile(f"[{SPACES}]")
_ZERO_WIDTH = re.compile(f"[{ZERO_WIDTH}]")


def without_invisible(text: str) -> str:
    """Return a text without characters of no width, its other spaces as plain ones."""
    if text.isascii():
        return text
    return _SPACE.sub(" ", _ZERO_WIDTH.sub("", text))


def mend_outside(text: str, kept: re.Pattern[str]) -> str:
    """Apply `without_invisible` to a text, but not inside the matches of a pattern.

    Args:
        text: Any text.
        kept: What stays as it is, such as strings and comments.
    """
    if text.isascii():
        return text
    parts, at = [], 0
    for found in kept.finditer(text):
        parts += [without_invisible(text[at : found.start()]), found[0]]
        at = found.end()
    return "".join([*parts, without_invisible(text[at:])])
