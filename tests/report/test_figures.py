"""All figures are drawn with their data, which their SQL gives again."""

from __future__ import annotations

import sqlite3
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from annoy_store.analysis.sql import run_query
from annoy_store.db.engine import Database
from annoy_store.report import FIGURES, RenderedFigure, render_all
from annoy_store.report.figure import Ref, open_runner
from tests.support import populated_store

pytestmark = pytest.mark.slow_on("postgres")
BY_KEY = {figure.key: figure for figure in FIGURES}


def _drawn(store: Database, live: bool = True) -> dict[str, RenderedFigure]:
    with open_runner(store, live=live) as run_sql:
        return {one.key: one for one in render_all(run_sql)}


@pytest.fixture
def filled(store: Database) -> Database:
    """A store with data for every figure: two models, chains of three turns."""
    populated_store.fill(store)
    populated_store.add_second_model(store)
    return store


@pytest.mark.parametrize("live", [True, False], ids=["live", "snapshot"])
def test_figures_are_all_drawn(
    filled: Database, live: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    drawn = _drawn(filled, live)
    assert list(drawn) == [figure.key for figure in FIGURES]
    for one in drawn.values():
        assert one.rows, one.key
        assert all(len(row) == len(one.columns) for row in one.rows)
        wide, narrow = ET.fromstring(one.svg), ET.fromstring(one.narrow_svg)
        assert wide.get("viewBox", "").startswith("0 0 720 ")
        assert narrow.get("viewBox", "").startswith("0 0 340 ")


def test_figures_hold_plain_numbers(filled: Database) -> None:
    """The same kinds of cells on every database, for the table and for --json."""
    for one in _drawn(filled).values():
        kinds = {type(cell) for row in one.rows for cell in row}
        assert kinds <= {str, int, float, type(None), Ref}, one.key


def test_figures_have_the_sql_of_their_data(filled: Database) -> None:
    """What is copied runs by itself, and the figure can be drawn again from its rows."""
    for one in _drawn(filled).values():
        with run_query(filled, one.sql) as result:
            rows = list(result.rows)
        again = BY_KEY[one.key].render(rows)
        assert list(again.rows) == list(one.rows), one.key
        assert again.svg == one.svg, one.key
        assert not one.sql.startswith((" ", "\n")), one.key


def test_figures_count_every_turn(filled: Database) -> None:
    drawn = _drawn(filled)
    other = populated_store.OTHER_MODEL
    assert ("predict the output", 3, 1, "25%") in drawn["tasks"].rows
    assert ("predict the output", other, 1, 0, "0%", 1, "100%") in drawn["models"].rows
    turned = {row[:5] for row in drawn["transitions"].rows}
    assert ("predict the output", 1, "wrong", "no_answer", 1) in turned
    assert ("predict the output", 2, "no_answer", "correct", 1) in turned
    assert ("predict an input", 1, "wrong", "wrong", 1) in turned
    assert "turn 2 \u2193  turn 3 \u2192" in drawn["transitions"].svg
    assert "answers of turn 3 correct" in {row[0] for row in drawn["yield"].rows}


def test_figures_compare_two_models_on_the_same_question(filled: Database) -> None:
    ((one, other, *cells, missed),) = _drawn(filled)["same_questions"].rows
    assert {one, other} == {populated_store.OTHER_MODEL, "paid"}
    assert cells == [0, 0, 0, 1]
    assert str(missed).startswith("prompt:")


def test_figures_tell_licences_and_cost(filled: Database) -> None:
    drawn = _drawn(filled)
    assert list(drawn["licences"].rows) == [("mit", 4, 4, 3), ("apache-2.0", 1, 1, 2)]
    assert ("predict the output", "paid", "5\u201310", 3, 1, "33%") in drawn["difficulty"].rows
    cost = next(r for r in drawn["cost"].rows if r[:2] == ("predict the output", "paid"))
    # 4 attempts, 2 of them correct: 200 prompt tokens and 80 completion tokens for each of these
    assert cost[1:7] == ("paid", 4, 2, 2.0, 200.0, 80.0)
    usd = 6 * (90 * 1.0 + 10 * 0.1 + 40 * 4.0) / 1e6
    assert cost[7] == pytest.approx(usd / 6 * 4 / 2, rel=1e-3)
    ((at, model, *counts, spent),) = drawn["cost_over_time"].rows
    assert (at, model, counts) == ("2026-01-01T00:00:00", "paid", [6, 600, 240])
    assert spent == pytest.approx(usd, rel=1e-6)
    assert drawn["funnel"].rows[0][:3] == ("generate", 0, 1)
    assert [str(row[4]) for row in drawn["clusters"].rows] == ["None", "source:1"]


def test_sql_of_a_figure_can_be_pasted_into_another_client(sqlite_store: Database) -> None:
    populated_store.fill(sqlite_store)
    plain = sqlite3.connect(sqlite_store.path or "")
    for one in _drawn(sqlite_store).values():
        assert plain.execute(one.sql).fetchall() or not one.rows
    plain.close()
