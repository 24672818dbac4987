"""All figures are rendered with their data."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.report import FIGURES, render_all
from annoy_store.report.figure import open_runner
from tests.support import populated_store

pytestmark = pytest.mark.slow_on("postgres")


@pytest.mark.parametrize("live", [True, False], ids=["live", "snapshot"])
def test_figures_are_all_rendered(
    store: Database, live: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    populated_store.fill(store)
    with open_runner(store, live=live) as ask:
        drawn = {one.key: one for one in render_all(ask)}
    assert list(drawn) == [figure.key for figure in FIGURES]
    for one in drawn.values():
        assert one.svg, one.key
        assert one.rows, one.key
        assert all(len(row) == len(one.columns) for row in one.rows)
        ET.fromstring(one.svg)
    assert ("predict an input", "wrong", "wrong", 1) in {r[:4] for r in drawn["transitions"].rows}
    assert ("predict the output", "5\u201310", 3, 1, "33%") in drawn["difficulty"].rows
    cost = next(r for r in drawn["cost"].rows if r[0] == "predict the output")
    # 4 attempts, 2 of them correct: 200 prompt tokens and 80 completion tokens for each of these
    assert cost[1:7] == ("paid", 4, 2, 2.0, 200.0, 80.0)
    assert cost[7] == pytest.approx((4 * (90 * 1.0 + 10 * 0.1 + 40 * 4.0)) / 1e6 / 2, rel=1e-3)
    assert drawn["funnel"].rows[0][:3] == ("generate", 0, 1)
    assert [str(row[3]) for row in drawn["clusters"].rows] == ["source:1"]
