"""Ranges of numbers in SQL and in labels."""

from __future__ import annotations

import sqlite3

from hypothesis import given as drawn_from
from hypothesis import strategies as st

from annoy_store.report.figure import bucket_sql, range_labels


@drawn_from(st.integers(-5, 2000))
def test_bucket_sql_agrees_with_range_labels(n: int) -> None:
    edges = (5, 10, 1000)
    sql = f"SELECT {bucket_sql(':n', edges)}"
    (bucket,) = sqlite3.connect(":memory:").execute(sql, {"n": n}).fetchone()
    assert bucket == sum(n >= edge for edge in edges)
    assert len(range_labels(edges)) == len(edges) + 1
