"""The file of a SQLite store: lost, linked, read-only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from annoy_store.db.engine import Database, connect
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.sqlite_file import StoreFileLost
from annoy_store.db.tables import sources
from annoy_store.errors import StoreError
from tests.support.factories import origin, source


def add(store: Database, content: str) -> None:
    with store.write() as connection:
        insert_rows(connection, [origin(source(content))])


def count(store: Database) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(sources)) or 0


def saved(folder: Path) -> Database:
    (file,) = folder.glob("*.saved-*")
    return open_store(str(file))


def test_sqlite_file_in_place_is_current(sqlite_store: Database) -> None:
    add(sqlite_store, "a")
    assert not sqlite_store.is_lost
    sqlite_store.check_file()


@pytest.mark.parametrize("log_too", [False, True])
def test_sqlite_file_that_is_deleted_is_saved_and_never_made_again(
    sqlite_store: Database, tmp_path: Path, log_too: bool
) -> None:
    path = sqlite_store.path
    assert path is not None
    add(sqlite_store, "a")
    path.unlink()
    for ending in ("-wal", "-shm") if log_too else ():
        Path(f"{path}{ending}").unlink()
    add(sqlite_store, "b")  # a transaction that was under way when it was noticed
    assert sqlite_store.is_lost
    with pytest.raises(StoreFileLost, match=r"deleted or moved.*saved in .*annoy merge"):
        sqlite_store.check_file()
    assert not path.exists()
    assert count(saved(path.parent)) == 2
    with pytest.raises(StoreFileLost), sqlite_store.write():
        pass


def test_sqlite_file_that_is_replaced_gets_no_rows_of_the_other(
    sqlite_store: Database, tmp_path: Path
) -> None:
    path = sqlite_store.path
    assert path is not None
    add(sqlite_store, "a")
    other = open_store(str(tmp_path / "other.db"), create=True)
    add(other, "x")
    other.close()
    os.replace(tmp_path / "other.db", path)
    add(sqlite_store, "b")
    with pytest.raises(StoreFileLost, match="replaced by another file"):
        sqlite_store.check_file()
    assert count(saved(path.parent)) == 2


def test_sqlite_file_is_not_created_by_opening(tmp_path: Path) -> None:
    with pytest.raises(OperationalError), connect(str(tmp_path / "new.db")).read():
        pass
    assert list(tmp_path.iterdir()) == []


def test_sqlite_file_behind_a_link_has_one_lock(sqlite_store: Database, tmp_path: Path) -> None:
    assert sqlite_store.path is not None
    link = tmp_path / "link.db"
    link.symlink_to(sqlite_store.path)
    linked = open_store(str(link))
    add(linked, "a")
    add(sqlite_store, "b")
    assert count(linked) == 2
    assert not Path(f"{link}.lock").exists()
    linked.close()


def test_sqlite_file_that_is_read_only_is_read(
    sqlite_store: Database, read_only: Callable[[Path], None]
) -> None:
    add(sqlite_store, "a")
    sqlite_store.close()
    assert sqlite_store.path is not None
    folder = sqlite_store.path.parent
    before = sorted(folder.iterdir())
    read_only(folder)
    store = open_store(str(sqlite_store.path))
    assert count(store) == 1
    with pytest.raises(StoreError, match="read-only: copy it"), store.write():
        pass
    assert sorted(folder.iterdir()) == before


def test_sqlite_file_that_is_read_only_needs_its_last_commits(
    sqlite_store: Database, tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    add(sqlite_store, "a")
    folder = tmp_path / "archive"
    folder.mkdir()
    for ending in ("", "-wal"):  # as a process that was killed leaves them
        shutil.copy(f"{sqlite_store.path}{ending}", folder / f"annoy.db{ending}")
    read_only(folder)
    with pytest.raises(StoreError, match=r"last commits are still in annoy.db-wal"):
        open_store(str(folder / "annoy.db"))
