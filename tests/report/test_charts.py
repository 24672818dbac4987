"""Charts are well-formed SVG with one element per value."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given as drawn_from
from hypothesis import strategies as st

from annoy_store.report.charts import Bar, Dot, HeatMap, Panel, heat_maps, horizontal_bars, panels

numbers = st.floats(0, 1e9, allow_nan=False)


@drawn_from(st.lists(st.tuples(st.text(max_size=60), numbers, numbers), max_size=8))
def test_horizontal_bars_are_well_formed_and_within_the_drawing(
    rows: list[tuple[str, float, float]],
) -> None:
    svg = horizontal_bars(
        "t", "axis", [Bar(n, (("a", one), ("b", two))) for n, one, two in rows], [("a", "one")]
    )
    boxes = [
        e
        for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")
        if e.get("rx") == "1.5"
    ]
    assert len(boxes) == 2 * len(rows)
    assert all(float(b.get("x", 0)) + float(b.get("width", 0)) <= 720.1 for b in boxes)


@drawn_from(st.lists(st.none() | st.tuples(st.floats(0, 1), st.integers(1, 99)), max_size=60))
def test_panels_have_a_dot_per_known_share(shares: list[tuple[float, int] | None]) -> None:
    dots = [Dot(s[0], s[1], s[0] / 2, 1.0) if s else None for s in shares]
    svg = panels("t", "x", [Panel("p", [str(i) for i in range(len(dots))], dots=dots)])
    found = list(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}circle"))
    assert len(found) == sum(s is not None for s in shares)


def test_heat_maps_name_every_cell() -> None:
    svg = heat_maps("t", "down", "across", [HeatMap("m", ["r"], ["c", "d"], [[3, 0]])])
    tips = [e.text for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}title")]
    assert "r \u2192 c: 3 of 3 (100%)" in tips
