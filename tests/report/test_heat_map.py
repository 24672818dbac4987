"""Heat maps name every cell, and fit both widths."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from annoy_store.report.heat_map import HeatMap, heat_maps
from annoy_store.report.svg import NARROW, WIDTH

SVG = "{http://www.w3.org/2000/svg}"
MAP = HeatMap("m", "turn 1", "turn 2", ["r"], ["c", "d"], [[3, 0]])


def test_heat_maps_name_every_cell() -> None:
    tips = [e.text for e in ET.fromstring(heat_maps("t", [MAP])).iter(f"{SVG}title")]
    assert "r \u2192 c: 3 of 3 (100%)" in tips
    assert "r \u2192 d: 0 of 3 (0%)" in tips


@pytest.mark.parametrize("width", [WIDTH, NARROW])
def test_heat_maps_fit_many_statuses(width: float) -> None:
    names = [f"a_status_{i}" for i in range(9)]
    one = HeatMap("m", "turn 1", "turn 2", names, names, [[1] * 9] * 9)
    boxes = list(ET.fromstring(heat_maps("t", [one], width=width)).iter(f"{SVG}rect"))
    assert len(boxes) == 2 * 81
    assert max(float(e.get("x", 0)) + float(e.get("width", 0)) for e in boxes) <= width
