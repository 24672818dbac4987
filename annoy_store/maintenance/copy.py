"""Copy a whole store to another database, and verify every table by a fingerprint.

Decisions
- Ids are kept, so lineage, exports and references to rows outside the store stay valid.
- A copy is made of one snapshot of a store without active workers; the target has to be empty.
- A SQLite target is written under a temporary name and renamed after verification; a PostgreSQL
  target that could not be filled is emptied again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table, delete, func, select

from annoy_store.db.engine import Database, connect
from annoy_store.db.introspect import row_pages
from annoy_store.db.migrate import downgrade, open_store, revision, upgrade
from annoy_store.db.sql import analyse, insert_new, now, restart_ids
from annoy_store.db.tables import metadata, workers
from annoy_store.errors import StoreError
from annoy_store.maintenance.fingerprint import Fingerprint
from annoy_store.queue.workers import IS_ALIVE, dead_local_workers

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class CopyReport:
    """Rows and fingerprint of each copied table."""

    rows: dict[str, int]
    digests: dict[str, str]


def copy(source: Database, url: str, progress: Progress = lambda table, rows: None) -> CopyReport:
    """Copy everything in `source` to a new or empty store.

    Args:
        source: The store to copy; no worker may be active.
        url: URL of the target.
        progress: Called with a table and the number of its rows copied so far.

    Returns:
        Rows and fingerprints by table.

    Raises:
        StoreError: A worker is active, the target is not empty, or the copy differs.
    """
    _refuse_active_workers(source)
    target = connect(url)
    if target.path is None:
        return _copy_to_server(source, target, progress)
    if target.path.exists():
        raise StoreError(f"{target.path} exists; choose another file")
    partial = Path(f"{target.path}.partial")
    _remove(partial)
    growing = open_store(f"sqlite:///{partial}", create=True)
    try:
        done = _fill(source, growing, progress)
        with growing.write_engine.connect() as connection:  # move the write-ahead log into the file
            connection.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    except BaseException:
        growing.close()
        _remove(partial)
        raise
    growing.close()
    os.replace(partial, target.path)
    _remove(partial)
    return done


def _copy_to_server(source: Database, target: Database, progress: Progress) -> CopyReport:
    try:
        if revision(target) is not None and _is_used(target):
            raise StoreError(f"{target} is not empty; choose an empty database")
        upgrade(target)
        try:
            return _fill(source, target, progress)
        except BaseException:
            downgrade(target, "base")
            raise
    finally:
        target.close()


def _refuse_active_workers(store: Database) -> None:
    with store.read() as connection:
        gone = dead_local_workers(connection)
        alive = select(func.count()).where(
            IS_ALIVE, workers.c.lease_until > now(connection), workers.c.id.not_in(gone)
        )
        if n := connection.scalar(alive):
            raise StoreError(f"{n} workers are active on {store}; stop them first")


def _is_used(store: Database) -> bool:
    with store.read() as connection:
        return any(
            connection.execute(select(*table.primary_key.columns).limit(2)).all()
            for table in metadata.sorted_tables
            if table.name != "teachers"
        )


def _fill(source: Database, target: Database, progress: Progress) -> CopyReport:
    sent: dict[str, Fingerprint] = {}
    with source.read() as connection:
        for table in metadata.sorted_tables:
            sent[table.name] = Fingerprint()
            with target.write() as writing:
                writing.execute(delete(table))  # rows of migrations are copied as well
            for page in row_pages(connection, table):
                sent[table.name].add(page)
                with target.write() as writing:
                    insert_new(writing, table, page)
                progress(table.name, sent[table.name].rows)
    with target.write() as writing:
        restart_ids(writing, metadata.sorted_tables)
        analyse(writing, *metadata.sorted_tables)
    for table in metadata.sorted_tables:
        if _fingerprint(target, table) != sent[table.name]:
            raise StoreError(f"the copy of {table.name} differs from the original; it was deleted")
    return CopyReport(
        {name: each.rows for name, each in sent.items()},
        {name: each.value for name, each in sent.items()},
    )


def _fingerprint(store: Database, table: Table) -> Fingerprint:
    found = Fingerprint()
    with store.read() as connection:
        for page in row_pages(connection, table):
            found.add(page)
    return found


def _remove(partial: Path) -> None:
    for ending in ("", "-wal", "-shm", ".lock"):
        with suppress(FileNotFoundError):
            os.remove(f"{partial}{ending}")
