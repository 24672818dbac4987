"""Migration 0003 keeps every row of a store of revision 0002, and gives it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Row, inspect, text

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import downgrade, upgrade
from tests.support import chains, factories
from tests.support.chains import checked

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture
def old(store: Database) -> Sequence[Row[Any]]:
    """A store of revision 0002, and the checks in it."""
    sample = factories.sample()
    pairs = [factories.io_pair(sample, {"x": x}, 2 * x, x) for x in range(2)]
    with store.write() as connection:
        insert_rows(connection, [checked(connection, pair) for pair in pairs])
    downgrade(store, "0002")
    return checks(store)


def checks(store: Database) -> Sequence[Row[Any]]:
    columns = "id, io_pair_id, variant_id, status, execution_id, lines_executed"
    with store.read() as connection:
        return connection.execute(text(f"SELECT {columns} FROM pair_checks ORDER BY id")).all()


def test_upgrade_leaves_checks_of_pairs_to_be_compared(
    old: Sequence[Row[Any]], store: Database
) -> None:
    assert len(old) == 2
    upgrade(store)
    assert checks(store) == old
    with store.read() as connection:
        assert connection.scalars(text("SELECT shown FROM v_current_pairs")).all() == [None, None]


def test_downgrade_removes_what_stands_in_the_question(
    old: Sequence[Row[Any]], store: Database
) -> None:
    with store.read() as connection:
        names = {column["name"] for column in inspect(connection).get_columns("pair_checks")}
    assert "shown" not in names


NEW_TEXTS = {
    "attempts": ["text", "reasoning", "digest"],
    "teachers": ["omitted"],
    "workers": ["notice"],
}


def columns(store: Database, table: str) -> list[str]:
    with store.read() as connection:
        return [column["name"] for column in inspect(connection).get_columns(table)]


def test_texts_of_attempts_and_omitted_parameters_are_added_and_taken_back(
    store: Database,
) -> None:
    chains.fill(store, ("zebra",))
    whole = {table: columns(store, table) for table in NEW_TEXTS}
    downgrade(store, "0002")
    for table, new in NEW_TEXTS.items():
        assert columns(store, table) == [name for name in whole[table] if name not in new]
    upgrade(store)
    assert {table: columns(store, table) for table in NEW_TEXTS} == whole
    with store.read() as connection:
        kept = connection.execute(text("SELECT DISTINCT text, reasoning FROM attempts")).all()
        assert kept in ([], [(None, None)])
        assert set(connection.scalars(text("SELECT omitted FROM teachers"))) <= {None}


def test_upgrade_knows_of_no_comparison_with_a_benchmark(store: Database) -> None:
    chains.fill(store, ["ant"])
    chains.compare(store)
    downgrade(store, "0002")
    with store.read() as connection:
        assert "benchmark_comparisons" not in inspect(connection).get_table_names()
    upgrade(store)
    with store.read() as connection:
        assert connection.scalar(text("SELECT COUNT(*) FROM benchmark_comparisons")) == 0
