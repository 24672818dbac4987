"""Counts by filter, compared with the rows that the list itself finds."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from pathlib import Path

from annoy_store.db.engine import Database
from annoy_store.web.counts import count_rows, known_counts
from annoy_store.web.listings import LISTINGS
from annoy_store.web.pagination import ListQuery, page
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


def test_known_counts_are_those_of_the_last_snapshot(filled: Database) -> None:
    assert known_counts(filled) is None
    counted = count_rows(filled)
    known = known_counts(filled)
    assert known is not None
    assert known.of == counted.of
    assert known.failures == counted.failures
