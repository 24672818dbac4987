"""Ids of a list from the derived tables, compared with the rows that the list itself finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from annoy_store.db.engine import Database
from annoy_store.web import list_index
from annoy_store.web.counts import count_rows
from annoy_store.web.list_index import ListIndex
from annoy_store.web.listings import LISTINGS, Listing
from annoy_store.web.pagination import ListQuery, listed_rows, page
from tests.support import populated_store

pytestmark = pytest.mark.slow_on("postgres")
ALL = ListQuery()


@pytest.fixture(params=["snapshot", "no snapshot"])
def index(
    request: pytest.FixtureRequest,
    store: Database,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> ListIndex:
    """The index of a store, with derived tables and where none can be kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    populated_store.fill(store, 2)
    return count_rows(store).index if request.param == "snapshot" else ListIndex(store, None)


def values_of(index: ListIndex, listing: Listing, ids: list[int], column: str) -> list[Any]:
    with index.store.read() as connection:
        return [row[column] for row in listed_rows(connection, listing, ids)]


@pytest.mark.parametrize("name", list(LISTINGS))
def test_sorted_ids_order_by_every_sortable_column(index: ListIndex, name: str) -> None:
    listing = LISTINGS[name]
    for column in listing.sortable:
        for sort in (column, f"-{column}"):
            ids = index.sorted_ids(listing, ALL, sort, 1)
            values = values_of(index, listing, ids, column)
            known = [value for value in values if value is not None]
            assert values == known + [None] * (len(values) - len(known)), sort
            assert known == sorted(known, reverse=sort.startswith("-")), sort


def test_sorted_ids_apply_filters(index: ListIndex) -> None:
    answers = LISTINGS["answers"]
    hostile = ListQuery({"model": "x' OR '1'='1"})
    assert index.sorted_ids(answers, hostile, "tokens", 1) == []
    assert len(index.sorted_ids(answers, ListQuery({"turn": "2"}), "-tokens", 1)) == 4


def test_sorted_ids_read_every_page_in_order(
    index: ListIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that are read from the end; a page has one id more if another one follows."""
    answers = LISTINGS["answers"]
    for sort in ("mismatch", "-status", "tokens"):
        whole = index.sorted_ids(answers, ALL, sort, 1)
        monkeypatch.setattr(list_index, "PAGE_ROWS", 3)
        pages = [index.sorted_ids(answers, ALL, sort, n) for n in range(1, -(-len(whole) // 3) + 1)]
        assert index.sorted_ids(answers, ALL, sort, len(pages) + 1) == []
        monkeypatch.undo()
        assert [key for one in pages for key in one[:3]] == whole
        assert [len(one) for one in pages[:-1]] == [4] * (len(pages) - 1)


def test_neighbours_follow_the_order_of_a_column(index: ListIndex) -> None:
    answers, chosen = LISTINGS["answers"], ListQuery({"turn": "1"})
    for sort in ("mismatch", "-mismatch", "status", "-tokens"):
        ids = index.sorted_ids(answers, chosen, sort, 1)
        found = [index.neighbours(answers, chosen, sort, key) for key in ids]
        assert [one[0] for one in found] == [None, *ids[:-1]], sort
        assert [one[1] for one in found] == [*ids[1:], None], sort
        assert {one[2] for one in found} == {1}
    assert index.neighbours(answers, chosen, "status", 99_999) == (None, None, 1)


def test_neighbours_tell_the_page(index: ListIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = LISTINGS["answers"]
    ids = index.sorted_ids(answers, ALL, "-status", 1)
    monkeypatch.setattr(list_index, "PAGE_ROWS", 2)
    assert [index.neighbours(answers, ALL, "-status", key)[2] for key in ids[:4]] == [1, 1, 2, 2]


def test_page_ids_are_those_of_the_list(index: ListIndex) -> None:
    answers, chosen = LISTINGS["answers"], ListQuery({"status": "wrong"})
    with index.store.read() as connection:
        listed = [row["id"] for row in page(connection, answers, chosen).rows]
    assert index.page_ids(answers, chosen, None, None, 100) == listed
    assert index.page_ids(answers, chosen, listed[1], None, 2) == listed[2:4]
    assert index.page_ids(answers, chosen, None, listed[2], 1) == [listed[1]]
    assert index.total(answers, chosen) == len(listed)
