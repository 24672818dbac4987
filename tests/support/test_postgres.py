"""A database that is taken again is as good as new, or it is not taken again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text

from annoy_store.db.engine import Database, connect
from annoy_store.db.tables import jobs, metadata, sources, teachers
from tests.support.postgres import Databases
from tests.support.small_pipeline import TOYS, ToyWorker, add_sources

WORDS = "UPDATE teachers SET model = 'x' WHERE id = 0"


@pytest.fixture
def databases(postgres_server: str) -> Iterator[Databases]:
    made = Databases(postgres_server)
    yield made
    made.close()


def count(store: Database) -> dict[str, int]:
    with store.read() as connection:
        found = {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
        }
    return {name: n for name, n in found.items() if n}


def ids(store: Database) -> list[int]:
    add_sources(store, 2)
    with store.read() as connection:
        return list(connection.scalars(select(sources.c.id)))


def test_rows_are_gone_and_numbers_begin_again(databases: Databases) -> None:
    store = databases.take()
    first = ids(store)
    ToyWorker(store, TOYS).run()
    assert count(store)[jobs.name] > 10
    databases.give_back(store)
    again = databases.take()
    assert again.url == store.url
    assert count(again) == {teachers.name: 1}
    assert ids(again) == first
    databases.give_back(again)


@pytest.mark.parametrize(
    "harm",
    [
        WORDS,
        "DROP INDEX ix_jobs_pending",
        "CREATE TABLE x ()",
        "ANALYZE teachers",
        "ALTER TABLE sources SET (autovacuum_enabled = false)",
        "DROP TABLE verdicts CASCADE",
        "ALTER TABLE jobs ALTER priority SET DEFAULT 7",
        "CREATE VIEW x AS SELECT 1 AS one",
    ],
)
def test_what_is_not_as_it_was_is_not_taken_again(databases: Databases, harm: str) -> None:
    store = databases.take()
    with store.write() as connection:
        connection.execute(text(harm))
    databases.give_back(store)
    assert databases.free == []


def test_nor_one_that_somebody_still_works_on(databases: Databases) -> None:
    store = databases.take()
    other = connect(store.url.render_as_string(hide_password=False))
    connection = other.read_engine.connect()
    databases.give_back(store)
    assert databases.free == []
    connection.invalidate()
    connection.close()
    other.close()
