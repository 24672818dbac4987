"""One process at a time writes to a place."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from annoy_store.db.engine import Database
from annoy_store.db.exclusive import empty_tables, exclusive_database, exclusive_file
from annoy_store.db.tables import metadata, sources
from annoy_store.errors import StoreError
from tests.support import factories


def test_exclusive_file_is_held_by_one_and_removed(tmp_path: Path) -> None:
    lock = tmp_path / "x.db.copying"
    for _ in range(2):
        with exclusive_file(lock):
            with (
                pytest.raises(StoreError, match=r"another process is writing .*x\.db$"),
                exclusive_file(lock),
            ):
                pass
            assert lock.exists()
        assert not lock.exists()
    lock.touch()  # what a killed process left
    with exclusive_file(lock):
        pass


def test_exclusive_database_is_held_by_one(postgres_store: Database) -> None:
    for _ in range(2):
        with exclusive_database(postgres_store) as check_lock:
            check_lock()
            with (
                pytest.raises(StoreError, match="another copy"),
                exclusive_database(postgres_store),
            ):
                pass


def test_empty_tables_removes_all_rows(postgres_store: Database) -> None:
    with postgres_store.write() as connection:
        factories.write_all(connection, [factories.origin(factories.source())])
        empty_tables(connection, metadata.sorted_tables)
        assert connection.scalar(select(func.count()).select_from(sources)) == 0
