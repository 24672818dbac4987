"""Invisible characters are removed, but not from what is kept."""

from __future__ import annotations

import re

from annoy_store.parsing.invisible import mend_outside, without_invisible


def test_without_invisible_removes_characters_of_no_width_and_makes_spaces_plain() -> None:
    assert without_invisible("\ufeffa\u00a0b\u200b\u3000c\u2060") == "a b c"
    assert without_invisible("plain é") == "plain é"


def test_mend_outside_leaves_matches_alone() -> None:
    text = "x\u00a0= '\u00a0\u200b'\u200b"
    assert mend_outside(text, re.compile("'[^']*'")) == "x = '\u00a0\u200b'"
