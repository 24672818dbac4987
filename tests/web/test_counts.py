"""Counts by filter and sorted ids, compared with the rows that the list itself finds."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from pathlib import Path

from annoy_store.db.engine import Database
from annoy_store.web.counts import count_rows, sorted_ids
from annoy_store.web.listings import LISTINGS
from annoy_store.web.pagination import PAGE_ROWS, ListQuery, listed_rows, page
from tests.support import populated_store

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture
def filled(store: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    populated_store.fill(store, 2)
    return store


def test_count_rows_agrees_with_the_lists(filled: Database) -> None:
    counted = count_rows(filled)
    with filled.read() as connection:
        for name, listing in LISTINGS.items():
            counts = counted.of[name]
            assert counts.total({}) == len(page(connection, listing, ListQuery()).rows)
            for facet in listing.filters:
                for value, n in counts.facet(facet, {}):
                    chosen = ListQuery({facet: value})
                    assert len(page(connection, listing, chosen).rows) == n, (name, facet, value)


def test_facet_counts_under_the_other_filters(filled: Database) -> None:
    counts = count_rows(filled).of["answers"]
    wrong = {"status": "wrong"}
    by_turn = dict(counts.facet("turn", wrong))
    assert by_turn == {"1": 4, "2": 2}
    assert counts.total(wrong) == 6
    assert dict(counts.facet("status", wrong))["correct"] > 0  # its own filter does not count


@pytest.mark.parametrize("name", list(LISTINGS))
def test_sorted_ids_order_by_every_sortable_column(filled: Database, name: str) -> None:
    count_rows(filled)  # makes the snapshot
    listing = LISTINGS[name]
    for column in listing.sortable:
        for order in (column, f"-{column}"):
            ids = sorted_ids(filled, listing, ListQuery(), order, 1)
            with filled.read() as connection:
                values = [row[column] for row in listed_rows(connection, listing, ids)]
            known = [value for value in values if value is not None]
            assert values == known + [None] * (len(values) - len(known)), order
            assert known == sorted(known, reverse=order.startswith("-")), order


def test_sorted_ids_apply_filters_and_pages(filled: Database) -> None:
    count_rows(filled)
    hostile = ListQuery({"model": "x' OR '1'='1"})
    assert sorted_ids(filled, LISTINGS["answers"], hostile, "tokens", 1) == []
    assert len(sorted_ids(filled, LISTINGS["answers"], ListQuery({"turn": "2"}), "-tokens", 1)) == 4
    assert sorted_ids(filled, LISTINGS["answers"], ListQuery(), "tokens", 1 + PAGE_ROWS) == []
