"""Derived tables: computed once per state of the store, kept, and opened again."""

from __future__ import annotations

from pathlib import Path

import pytest

from annoy_store.analysis.snapshot.derived import derive, open_derived
from annoy_store.analysis.snapshot.query import NotInSnapshot, snapshot_folder
from annoy_store.db.engine import Database
from tests.support.small_pipeline import add_sources

QUERIES = {
    "n_sources": "SELECT COUNT(*) AS n FROM sources",
    "doubled": "SELECT n * 2 AS n FROM derived.n_sources",
}


def files(store: Database) -> list[Path]:
    return sorted((snapshot_folder(store) / "derived").iterdir())


def test_derived_tables_are_computed_from_the_snapshot(sqlite_store: Database) -> None:
    add_sources(sqlite_store, 3)
    found = derive(sqlite_store, QUERIES)
    assert found.rows("SELECT n FROM n_sources") == [(3,)]
    assert found.rows("SELECT n FROM doubled WHERE n = :n", {"n": 6}) == [(6,)]
    assert found.rows("SELECT n FROM doubled WHERE n = :n", {"n": 7}) == []


def test_derived_tables_are_kept_until_the_store_changes(sqlite_store: Database) -> None:
    add_sources(sqlite_store, 3)
    first = derive(sqlite_store, QUERIES)
    assert derive(sqlite_store, QUERIES).path == first.path
    add_sources(sqlite_store, 2, 3)
    second = derive(sqlite_store, QUERIES)
    assert second.rows("SELECT n FROM doubled") == [(10,)]
    assert files(sqlite_store) == [second.path]
    assert first.rows("SELECT n FROM doubled") == [(6,)]  # still open


def test_derived_tables_are_computed_again_for_other_queries(sqlite_store: Database) -> None:
    derive(sqlite_store, QUERIES)
    other = {"n_prompts": "SELECT COUNT(*) AS n FROM prompts"}
    assert open_derived(sqlite_store, other) is None
    assert derive(sqlite_store, other).rows("SELECT n FROM n_prompts") == [(0,)]
    assert len(files(sqlite_store)) == 1


def test_open_derived_returns_what_was_computed_last(sqlite_store: Database) -> None:
    assert open_derived(sqlite_store, QUERIES) is None
    made = derive(sqlite_store, QUERIES)
    add_sources(sqlite_store, 1)
    known = open_derived(sqlite_store, QUERIES)
    assert known is not None
    assert known.path == made.path
    assert known.rows("SELECT n FROM n_sources") == [(0,)]


def test_open_derived_skips_a_damaged_file(sqlite_store: Database) -> None:
    path = derive(sqlite_store, QUERIES).path
    path.write_bytes(b"not a database")
    assert open_derived(sqlite_store, QUERIES) is None
    add_sources(sqlite_store, 1)
    assert derive(sqlite_store, QUERIES).rows("SELECT n FROM n_sources") == [(1,)]


def test_derived_tables_cannot_be_written(sqlite_store: Database) -> None:
    with pytest.raises(Exception, match="read-only"):
        derive(sqlite_store, QUERIES).rows("DROP TABLE doubled")


def test_derive_needs_a_folder_for_the_snapshot(sqlite_store: Database) -> None:
    folder = snapshot_folder(sqlite_store)
    folder.write_text("in the way")
    with pytest.raises(NotInSnapshot, match="cannot keep a snapshot"):
        derive(sqlite_store, QUERIES)
