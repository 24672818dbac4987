"""Backups are consistent and complete."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.errors import StoreError, UsageError
from annoy_store.maintenance import backup as backup_module
from annoy_store.maintenance.backup import backup
from annoy_store.maintenance.check import check
from annoy_store.maintenance.fingerprint import content_differences
from tests.support.factories import source
from tests.support.growing_stores import grow, held
from tests.support.shown_steps import ShownSteps
from tests.support.small_pipeline import (
    ToyWorker,
    add_sources,
)

pytestmark = pytest.mark.slow_on("postgres")


@pytest.mark.slow
def test_backup_is_consistent_while_a_worker_runs(sqlite_store: Database, tmp_path: Path) -> None:
    add_sources(sqlite_store, 60)
    thread = threading.Thread(target=lambda: ToyWorker(sqlite_store).run())
    thread.start()
    sizes = [backup(sqlite_store, tmp_path / f"{i}.db") for i in range(4)]
    thread.join()
    assert all(sizes)
    for i in range(4):
        saved = open_store(f"sqlite:///{tmp_path}/{i}.db")
        found = [f for f in check(saved) if f.what != "claimed by no active worker"]
        assert found == []
        saved.close()


def test_backup_is_a_working_store(sqlite_store: Database, tmp_path: Path) -> None:
    grow(sqlite_store, 0, 2)
    backup(sqlite_store, tmp_path / "b.db")
    saved = open_store(f"sqlite:///{tmp_path}/b.db")
    assert content_differences(held(sqlite_store), held(saved)) == {}
    grow(saved, 2, 1)
    assert check(saved) == []
    saved.close()


def test_backup_overwrites_only_with_replace(sqlite_store: Database, tmp_path: Path) -> None:
    backup(sqlite_store, tmp_path / "b.db")
    with pytest.raises(UsageError, match="--replace"):
        backup(sqlite_store, tmp_path / "b.db")
    backup(sqlite_store, tmp_path / "b.db", replace=True)
    with pytest.raises(StoreError, match="cannot write"):
        backup(sqlite_store, tmp_path / "no" / "b.db")
    assert not list(tmp_path.glob("*.partial"))


def test_backup_of_postgres_names_pg_dump(postgres_store: Database, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pg_dump"):
        backup(postgres_store, tmp_path / "b.db")


@pytest.fixture
def large_store(sqlite_store: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A store of 10 MB, whose backup looks at the size of the copy often."""
    monkeypatch.setattr(backup_module, "INSTRUCTIONS", 100)
    with sqlite_store.write() as connection:
        insert_rows(connection, [source("x" * 5_000 + str(n)) for n in range(2_000)])
    return sqlite_store


def test_backup_shows_the_bytes_written(large_store: Database, tmp_path: Path) -> None:
    shown = ShownSteps()
    size = backup(large_store, tmp_path / "b.db", shown)
    assert shown.shares == sorted(shown.shares)
    assert shown.shares[0] < 0.3 < 0.5 < shown.shares[-1]
    total = shown.steps[-1][2]
    assert total is not None
    assert size <= total < 1.1 * size


def test_backup_is_interrupted_while_it_writes_and_leaves_no_file(
    large_store: Database, tmp_path: Path
) -> None:
    def interrupt(message: str, done: int = 0, total: int | None = None) -> None:
        if done:  # by now SQLite calls
            raise KeyboardInterrupt

    with pytest.raises(StoreError, match="interrupted"):
        backup(large_store, tmp_path / "b.db", interrupt)
    assert not list(tmp_path.glob("b.db*"))
