"""Panels have one element per value, at both widths."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given as drawn_from
from hypothesis import strategies as st

from annoy_store.report.panel_chart import Dot, Line, Panel, panels
from annoy_store.report.svg import NARROW, WIDTH

SVG = "{http://www.w3.org/2000/svg}"
shares = st.lists(st.none() | st.tuples(st.floats(0, 1), st.integers(1, 99)), max_size=60)


@drawn_from(shares, shares)
def test_panels_have_a_dot_per_known_share(
    one: list[tuple[float, int] | None], other: list[tuple[float, int] | None]
) -> None:
    labels = [str(i) for i in range(max(len(one), len(other)))]
    lines = [
        Line("x", [Dot(s[0], s[1], s[0] / 2, 1.0) if s else None for s in line], cls)
        for line, cls in ((one, "a"), (other, "b"))
    ]
    svg = panels("t", "x", [Panel("p", labels, lines=lines)])
    found = list(ET.fromstring(svg).iter(f"{SVG}circle"))
    assert len(found) == sum(s is not None for s in one + other)


@pytest.mark.parametrize("width", [WIDTH, NARROW])
def test_panels_stack_their_bars_within_the_plot(width: float) -> None:
    panel = Panel("p", ["x", "y"], [[("a", 3), ("b", 4)], [("a", 1), ("b", 0)]])
    svg = ET.fromstring(panels("t", "x", [panel] * 3, [("a", "one"), ("b", "two")], width=width))
    boxes = [e for e in svg.iter(f"{SVG}rect") if e.get("rx") == "1.5"]
    assert len(boxes) == 12
    first, second = (float(e.get("y", 0)) for e in boxes[:2])
    assert second + float(boxes[1].get("height", 0)) == pytest.approx(first, abs=0.02)
    placed = {g.get("transform", "").split()[0] for g in svg.iter(f"{SVG}g")}
    assert len(placed) == (1 if width == NARROW else 3)
