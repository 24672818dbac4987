"""Ranges of numbers in SQL and in labels, and the colours of models."""

from __future__ import annotations

import sqlite3

from hypothesis import given as drawn_from
from hypothesis import strategies as st

from annoy_store.report.figure import (
    MAX_MODELS,
    Figure,
    RenderedFigure,
    bucket_sql,
    model_colours,
    range_names,
    spanned,
)

EDGES = (5, 10, 1000)


@drawn_from(st.integers(0, 2000))
def test_bucket_sql_agrees_with_range_names(n: int) -> None:
    sql = f"SELECT {bucket_sql(':n', EDGES)}"
    (lower,) = sqlite3.connect(":memory:").execute(sql, {"n": n}).fetchone()
    assert lower == max((edge for edge in EDGES if edge <= n), default=0)
    assert lower in range_names(EDGES)


def test_spanned_has_the_empty_ranges_between() -> None:
    names = range_names(EDGES)
    assert list(names.values()) == ["< 5", "5\u201310", "10\u20131000", "\u2265 1000"]
    assert spanned(names, [10, 0]) == [0, 5, 10]
    assert spanned(names, []) == []


def test_model_colours_go_to_the_models_with_most_rows() -> None:
    rows = [(f"m{i}", 10 * i) for i in range(9)]
    colours = model_colours(rows, 0, 1)
    assert list(colours) == ["m8", "m7", "m6", "m5", "m4"]
    assert len(set(colours.values())) == MAX_MODELS


def test_a_figure_fills_the_width_of_its_buckets_in() -> None:
    asked: list[str] = []

    def run_sql(sql: str) -> list[tuple[str, str]]:
        asked.append(sql)
        return [("2026-01-01T00:00:00", "2026-01-01T00:00:09")]

    figure = Figure(
        "k",
        """
        SELECT SUBSTR(t, 1, :width)
        FROM x
        """,
        lambda rows: RenderedFigure("k", "t", "d", None, (), rows),
        "SELECT MIN(t), MAX(t) FROM x",
    )
    drawn = figure.rendered(run_sql)
    assert drawn.sql == "SELECT SUBSTR(t, 1, 19)\nFROM x"
    assert asked == ["SELECT MIN(t), MAX(t) FROM x", drawn.sql]
