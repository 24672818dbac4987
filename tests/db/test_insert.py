"""insert_rows: rows with their parents, each written once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import NATURAL_KEYS, attempts, io_pairs, metadata, origins, sources
from annoy_store.interfaces import NewRow
from tests.support.factories import NOW, asked, io_pair, origin, response, sample, source


def count(store: Database, table: Any) -> int:
    with store.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def attempt(call: NewRow) -> NewRow:
    row = {"call_id": call, "teacher_id": 0, "worker_id": 1, "started_at": NOW}
    row |= {"latency_ms": 1.0, "status": "ok", "error_class": None, "http_status": None}
    row |= dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens"))
    row |= dict.fromkeys(("reasoning_tokens", "model", "error_message"))
    return NewRow(attempts, row)


def test_insert_rows_writes_parents_first(store: Database) -> None:
    turn, call = asked()
    with store.write() as connection:
        touched = insert_rows(connection, [attempt(call), response(call, "hello"), turn])
    assert {name: len(ids) for name, ids in touched.items()} == {
        "prompts": 1,
        "turns": 1,
        "calls": 1,
        "responses": 1,
        "attempts": 1,
    }


def test_insert_rows_reuses_rows_that_exist(store: Database) -> None:
    with store.write() as connection:
        first = insert_rows(connection, [origin(source("a"))])
        again = insert_rows(connection, [origin(source("a"), path="b.py")])
        assert again["sources"] == first["sources"]
        assert again["origins"] != first["origins"]
        assert insert_rows(connection, [origin(source("a"))]) == first
    assert (count(store, sources), count(store, origins)) == (1, 2)


def test_insert_rows_writes_equal_rows_once(store: Database) -> None:
    one = sample()
    with store.write() as connection:
        touched = insert_rows(
            connection, [io_pair(one, {"x": 1}, 2), io_pair(sample(), {"x": 1}, 2), one]
        )
    assert count(store, io_pairs) == 1
    assert len(set(touched["samples"])) == 1
    assert touched["io_pairs"][0] == touched["io_pairs"][1]


def test_insert_rows_appends_where_there_is_no_natural_key(store: Database) -> None:
    _, call = asked()
    for _ in range(2):
        with store.write() as connection:
            insert_rows(connection, [attempt(call), attempt(call)])
    assert count(store, attempts) == 4


def test_insert_rows_fails_as_a_whole_on_a_missing_reference(store: Database) -> None:
    broken = NewRow(origins, {**origin(source("a")).values, "source_id": 12345})
    with pytest.raises(IntegrityError), store.write() as connection:
        insert_rows(connection, [source("b"), broken])
    assert count(store, sources) == 0


def test_insert_into_table_returns_ids_in_order(store: Database) -> None:
    contents = [f"x = {i % 7}" for i in range(20)]
    with store.write() as connection:
        ids = insert_rows(connection, [source(c) for c in contents])["sources"]
        found = {
            row.id: row.content
            for row in connection.execute(select(sources.c.id, sources.c.content))
        }
    assert sorted(found[i] for i in ids) == sorted(contents)


def test_natural_keys_are_enforced_by_the_database() -> None:
    for name, columns in NATURAL_KEYS.items():
        unique = [
            {column.name for column in constraint.columns}
            for constraint in metadata.tables[name].constraints
            if type(constraint).__name__ in ("UniqueConstraint", "PrimaryKeyConstraint")
        ]
        assert set(columns) in unique, name


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    contents=st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("pqr")), max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=3),
)
def test_insert_rows_gives_the_same_rows_in_any_split_of_transactions(
    sqlite_store: Database, contents: list[tuple[str, str]], cuts: list[int]
) -> None:
    rows = [origin(source(content), path=path) for content, path in contents]
    bounds = [0, *sorted(cuts), len(rows)]
    with sqlite_store.write() as connection:
        connection.execute(text("DELETE FROM origins"))
        connection.execute(text("DELETE FROM sources"))
    for start, end in pairwise(bounds):
        with sqlite_store.write() as connection:
            insert_rows(connection, rows[start:end])
    assert count(sqlite_store, origins) == len(set(contents))
    assert count(sqlite_store, sources) == len({content for content, _ in contents})
