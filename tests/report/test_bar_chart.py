"""Bar charts are well-formed SVG, within the drawing at both widths."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given as drawn_from
from hypothesis import strategies as st

from annoy_store.report.bar_chart import Bar, BarGroup, horizontal_bars, share_bars, ungrouped
from annoy_store.report.svg import NARROW, WIDTH

numbers = st.floats(0, 1e9, allow_nan=False)
rows = st.lists(st.tuples(st.text(max_size=60), numbers, numbers), max_size=8)
SVG = "{http://www.w3.org/2000/svg}"


def _boxes(svg: str) -> list[tuple[float, float]]:
    """Left edge and width of every segment."""
    found = [e for e in ET.fromstring(svg).iter(f"{SVG}rect") if e.get("rx") == "1.5"]
    return [(float(e.get("x", 0)), float(e.get("width", 0))) for e in found]


@pytest.mark.parametrize("width", [WIDTH, NARROW])
@drawn_from(rows=rows)
def test_horizontal_bars_are_well_formed_and_within_the_drawing(
    width: float, rows: list[tuple[str, float, float]]
) -> None:
    bars = [Bar(name, (("a", one), ("b", two))) for name, one, two in rows]
    svg = horizontal_bars("t", "axis", ungrouped(bars), [("a", "one")], width=width)
    boxes = _boxes(svg)
    assert len(boxes) == 2 * len(rows)
    assert all(x + wide <= width + 0.1 for x, wide in boxes)


@pytest.mark.parametrize("width", [WIDTH, NARROW])
def test_share_bars_have_one_length_whatever_their_totals(width: float) -> None:
    small, large = Bar("small", (("a", 1), ("b", 2))), Bar("large", (("a", 4000), ("b", 1000)))
    svg = share_bars("t", "share", [BarGroup("g", [small]), BarGroup("", [large])], width=width)
    boxes = _boxes(svg)
    lengths = [boxes[0][1] + boxes[1][1], boxes[2][1] + boxes[3][1]]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.05)
    assert boxes[0][1] / lengths[0] == pytest.approx(1 / 3, abs=0.01)
    assert boxes[2][1] / lengths[1] == pytest.approx(0.8, abs=0.01)
    assert ">g</text>" in svg


def test_share_bars_draw_an_interval_where_it_is() -> None:
    bar = Bar("one", (("a", 5), ("e", 5)), interval=(0.25, 0.75))
    svg = share_bars("t", "share", ungrouped([bar]))
    ((x, wide), (_, rest)) = _boxes(svg)
    ends = next(e for e in ET.fromstring(svg).iter(f"{SVG}line") if e.get("class") == "interval")
    assert float(ends.get("x1", 0)) == pytest.approx(x + 0.25 * (wide + rest), abs=0.1)
    assert float(ends.get("x2", 0)) == pytest.approx(x + 0.75 * (wide + rest), abs=0.1)


def test_labels_are_above_the_bars_of_a_narrow_drawing() -> None:
    bars = [Bar("a label of forty characters, or more of it", (("a", 3.0),))]
    texts = [
        e.text for e in ET.fromstring(horizontal_bars("t", "n", ungrouped(bars))).iter(f"{SVG}text")
    ]
    assert "a label of forty characters, or m\u2026" in texts
    narrow = ET.fromstring(horizontal_bars("t", "n", ungrouped(bars), width=NARROW))
    label = next(e for e in narrow.iter(f"{SVG}text") if (e.text or "").startswith("a label"))
    assert label.text == bars[0].label
    assert float(label.get("x", 1)) == 0
