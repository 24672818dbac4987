"""SVG helpers: escaping and ticks."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given as drawn_from
from hypothesis import strategies as st

from annoy_store.report.svg import escape, ticks

numbers = st.floats(0, 1e9, allow_nan=False)


@drawn_from(st.text(st.characters(exclude_categories=())))
def test_escape_keeps_text_as_text(text: str) -> None:
    tree = ET.fromstring(f'<a b="{escape(text)}">{escape(text)}</a>')
    assert len(tree) == 0
    assert not {"\x1b", "\u202e", "\x00"} & set(tree.text or "")


@drawn_from(st.lists(numbers, min_size=1, max_size=9))
def test_ticks_are_round_and_reach_the_largest_value(values: list[float]) -> None:
    marks = ticks(values)
    assert marks[0] == 0
    assert marks[-1] >= max(values) * 0.99
    assert 2 <= len(marks) <= 7
    if all(v == int(v) for v in values):
        assert all(mark == int(mark) for mark in marks)
