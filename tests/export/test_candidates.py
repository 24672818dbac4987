"""Filters applied to the tables of a plan: what is removed, for which reason, and what is read."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from sqlalchemy import Connection

from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.export.candidates import GroupFilter, RowFilter, apply_filters, load_attributes
from tests.support import chains


@pytest.fixture
def connection(sqlite_store: Database) -> Iterator[Connection]:
    chains.fill(sqlite_store, ["ant", "bee"])
    with sqlite_store.read() as connection:
        yield connection


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with two subjects of each of two samples."""
    with duckdb.connect() as duck:
        duck.execute("""
        CREATE TABLE subjects AS
        SELECT i AS subject_id, 1 + i // 2 AS sample_id, NULL::VARCHAR AS removed FROM range(4) r(i)
        """)
        yield duck


def test_candidates_are_removed_for_the_first_reason(
    duck: duckdb.DuckDBPyConnection, connection: Connection
) -> None:
    filters = [
        RowFilter("small", "subject_id > 0"),
        RowFilter("odd", "subject_id % 2 = 0"),
        GroupFilter(("UPDATE subjects SET removed = 'late' WHERE subject_id = 2",)),
    ]
    loaded = load_attributes(duck, connection, [])
    counts = apply_filters(duck, connection, filters, loaded)
    assert counts.n_subjects == 4
    assert counts.removed == {"small": 1, "odd": 2, "late": 1}
    assert duck.execute("SELECT * FROM candidates").fetchall() == []


def test_candidates_have_the_attributes_that_filters_read(
    duck: duckdb.DuckDBPyConnection, connection: Connection
) -> None:
    loaded = load_attributes(duck, connection, ["hidden"])
    assert loaded == {"hidden"}
    filters = [
        RowFilter("first", "sample_id = 1"),
        RowFilter("repo", "repo = 'team/ant'", ("origin",)),
    ]
    assert apply_filters(duck, connection, filters, loaded).removed == {"first": 2}
    # The origin was read for the sample that was left, and for no other.
    assert duck.execute("SELECT sample_id FROM a_origin").fetchall() == [(1,)]


def test_candidates_filters_may_prepare_a_table(
    duck: duckdb.DuckDBPyConnection, connection: Connection
) -> None:
    def prepare(duck: duckdb.DuckDBPyConnection, _: Connection) -> None:
        duck.execute("CREATE TABLE wanted AS SELECT 3 AS id")

    loaded = load_attributes(duck, connection, [])
    one = RowFilter("wanted", "subject_id IN (SELECT id FROM wanted)", (), prepare)
    assert apply_filters(duck, connection, [one], loaded).removed == {"wanted": 3}


def test_candidates_explain_only_the_sql_of_the_user(
    duck: duckdb.DuckDBPyConnection, connection: Connection
) -> None:
    loaded = load_attributes(duck, connection, [])
    with pytest.raises(UsageError, match=r"^--where: .*; the columns are: subject_id, .*licence"):
        apply_filters(duck, connection, [RowFilter("where", "nothing = 1")], loaded)
    with pytest.raises(UsageError, match=r"\(did you mean funcname\?\); the columns are: "):
        apply_filters(duck, connection, [RowFilter("where", "funcnam = 'f'")], loaded)
    with pytest.raises(duckdb.BinderException):
        apply_filters(duck, connection, [RowFilter("other", "nothing = 1")], loaded)
