"""The report: every figure from rows, and no text of the store that does anything."""

from __future__ import annotations

import re
import sqlite3
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given as drawn_from
from hypothesis import strategies as st
from sqlalchemy import insert

from annoy_store.db.engine import Database
from annoy_store.db.tables import hidden_subjects
from annoy_store.errors import UsageError
from annoy_store.report import FIGURES, draw_all, gather, report, write_pictures
from annoy_store.report.charts import Bar, Dot, Heat, Panel, heat, horizontal_bars, panels
from annoy_store.report.figure import asker, bucketed, ranges
from annoy_store.report.pipeline_figures import PREFIXES, _prefix
from annoy_store.report.svg import escape, ticks
from tests.support import populated_store

AT = "2026-01-01 00:00 UTC"
numbers = st.floats(0, 1e9, allow_nan=False)


class Page(HTMLParser):
    """What a browser would make of a page: its tags, ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.tags.append(tag)
        self.attributes |= set(said)
        self.ids += [said["id"] or ""] if "id" in said else []
        self.links += [said[a] or "" for a in ("href", "src") if a in said]


# The pen -------------------------------------------------------------------------------------


@drawn_from(st.text(st.characters(exclude_categories=())))
def test_text_stays_text(text: str) -> None:
    tree = ET.fromstring(f'<a b="{escape(text)}">{escape(text)}</a>')
    assert len(tree) == 0
    assert not {"\x1b", "\u202e", "\x00"} & set(tree.text or "")


@drawn_from(st.lists(numbers, min_size=1, max_size=9))
def test_ticks_are_round_and_reach_the_top(values: list[float]) -> None:
    marks = ticks(values)
    assert marks[0] == 0
    assert marks[-1] >= max(values) * 0.99
    assert 2 <= len(marks) <= 7
    if all(v == int(v) for v in values):
        assert all(mark == int(mark) for mark in marks)


@drawn_from(st.lists(st.tuples(st.text(max_size=60), numbers, numbers), max_size=8))
def test_bars_are_well_formed_and_stay_on_the_sheet(rows: list[tuple[str, float, float]]) -> None:
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
def test_lines_have_a_dot_per_known_share(shares: list[tuple[float, int] | None]) -> None:
    dots = [Dot(s[0], s[1], s[0] / 2, 1.0) if s else None for s in shares]
    svg = panels("t", "x", [Panel("p", [str(i) for i in range(len(dots))], dots=dots)])
    found = list(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}circle"))
    assert len(found) == sum(s is not None for s in shares)


def test_a_heat_map_names_every_cell() -> None:
    svg = heat("t", "down", "across", [Heat("m", ["r"], ["c", "d"], [[3, 0]])])
    tips = [e.text for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}title")]
    assert "r \u2192 c: 3 of 3 (100%)" in tips


@drawn_from(st.integers(-5, 2000))
def test_a_number_is_in_the_range_that_is_named(n: int) -> None:
    edges = (5, 10, 1000)
    sql = f"SELECT {bucketed(':n', edges)}"
    (bucket,) = sqlite3.connect(":memory:").execute(sql, {"n": n}).fetchone()
    assert bucket == sum(n >= edge for edge in edges)
    assert len(ranges(edges)) == len(edges) + 1


@pytest.mark.parametrize(
    ("last", "width"),
    [
        ("2026-01-01T00:00:30", 19),
        ("2026-01-01T00:05:00", 18),
        ("2026-01-01T00:40:00", 16),
        ("2026-01-01T07:00:00", 15),
        ("2026-01-02T20:00:00", 13),
        ("2026-02-01T00:00:00", 10),
        ("2029-01-01T00:00:00", 7),
    ],
)
def test_time_is_cut_as_finely_as_there_is_room(last: str, width: int) -> None:
    assert _prefix("2026-01-01T00:00:00.000Z", f"{last}.000Z") == width
    assert width in PREFIXES


# Figures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("live", [True, False], ids=["live", "snapshot"])
def test_every_figure_is_drawn(
    store: Database, live: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    populated_store.fill(store)
    with asker(store, live=live) as ask:
        drawn = {one.key: one for one in draw_all(ask)}
    assert list(drawn) == [figure.key for figure in FIGURES]
    for one in drawn.values():
        assert one.svg, one.key
        assert one.rows, one.key
        assert all(len(row) == len(one.columns) for row in one.rows)
        ET.fromstring(one.svg)
    assert ("predict an input", "wrong", "wrong", 1) in {r[:4] for r in drawn["transitions"].rows}
    assert ("predict the output", "5\u201310", 3, 1, "33%") in drawn["difficulty"].rows
    cost = next(r for r in drawn["cost"].rows if r[0] == "predict the output")
    # 4 tries, 2 of them correct: 200 prompt tokens and 80 completion tokens for each of these
    assert cost[1:7] == ("paid", 4, 2, 2.0, 200.0, 80.0)
    assert cost[7] == pytest.approx((4 * (90 * 1.0 + 10 * 0.1 + 40 * 4.0)) / 1e6 / 2, rel=1e-3)
    assert drawn["funnel"].rows[0][:3] == ("generate", 0, 1)
    assert [str(row[3]) for row in drawn["clusters"].rows] == ["source:1"]


def test_an_empty_store_says_that_it_is(store: Database) -> None:
    with asker(store, live=True) as ask:
        drawn = draw_all(ask)
    assert not any(one.svg for one in drawn)
    page = report(store, gather(store, AT, live=True))
    assert page.count('class="nothing"') == len(FIGURES)


def test_no_text_of_the_store_does_anything(store: Database) -> None:
    populated_store.fill(store)
    text = report(store, gather(store, AT, live=True))
    page = Page(text)
    assert not {"script", "img", "iframe", "object", "base", "form"} & set(page.tags)
    assert not any(name.startswith("on") or name == "style" for name in page.attributes)
    assert page.tags.count("style") == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "&lt;script&gt;alert(1)" in text
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[0].startswith("default-src 'none'")


def test_the_page_stands_alone_and_its_links_lead_somewhere(store: Database) -> None:
    populated_store.fill(store)
    page = Page(report(store, gather(store, AT, live=True)))
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link == "data:," or (link.startswith("#") and link[1:] in page.ids), link
    assert any(link.startswith("#sample-") for link in page.links)


def test_what_was_taken_down_is_not_shown(sqlite_store: Database) -> None:
    populated_store.fill(sqlite_store)
    gathered = gather(sqlite_store, AT, live=True)
    assert "import nowhere" in report(sqlite_store, gathered)
    with sqlite_store.write() as connection:
        rows = [{"kind": "sample", "subject_id": i} for i in range(1, 9)]
        connection.execute(insert(hidden_subjects), rows)
    text = report(sqlite_store, gathered)
    assert "import nowhere" not in text
    assert "taken down" in text


# Pictures ------------------------------------------------------------------------------------


def test_pictures_without_their_packages(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    populated_store.fill(sqlite_store)
    drawn = gather(sqlite_store, AT, live=True).drawn
    with pytest.raises(UsageError, match=r"pip install 'annoy-store\[report\]'"):
        write_pictures(tmp_path, drawn)
