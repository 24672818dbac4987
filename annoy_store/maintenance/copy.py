"""Copy a whole store to another database, and verify every table by a fingerprint.

Decisions
- Ids are kept, so lineage, exports and references to rows outside the store stay valid.
- A copy is made of one snapshot of a store without active workers; the target has to be empty.
- A SQLite target is written under a temporary name and gets its own after verification. A
  PostgreSQL target is marked as unfinished until then: nothing opens it (migrate.py), and copying
  into it again starts anew. One that could not be filled is emptied again.
- One copy at a time writes to a target; the lock ends with its process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Table, delete, func, insert, inspect, literal, select, table
from sqlalchemy.exc import DBAPIError

from annoy_store.db.engine import Database, connect
from annoy_store.db.exclusive import empty_tables, exclusive_database, exclusive_file
from annoy_store.db.introspect import tuple_pages
from annoy_store.db.migrate import downgrade, open_store, store_error, upgrade
from annoy_store.db.sql import analyse, insert_new_tuples, now, restart_ids
from annoy_store.db.tables import metadata, teachers, unfinished_copies, workers
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import StoreError
from annoy_store.interfaces import ShowProgress, show_nothing
from annoy_store.maintenance.fingerprint import Fingerprint
from annoy_store.queue.workers import IS_ALIVE, dead_local_workers

COPIED_TABLES = [t for t in metadata.sorted_tables if t is not unfinished_copies]


@dataclass(frozen=True)
class CopyReport:
    """Rows and fingerprint of each copied table."""

    rows: dict[str, int]
    digests: dict[str, str]


def copy(source: Database, url: str, progress: ShowProgress = show_nothing) -> CopyReport:
    """Copy everything in `source` to a new or empty store.

    Args:
        source: The store to copy; no worker may be active.
        url: URL of the target.
        progress: Called with the rows copied so far and those in all.

    Returns:
        Rows and fingerprints by table.

    Raises:
        StoreError: A worker is active, the target is not empty, another copy writes to it, it
            cannot be written, or the copy differs.
    """
    _refuse_active_workers(source)
    target = connect(url)
    try:
        if target.path is not None:
            return _copy_to_file(source, target.path, progress)
        with exclusive_database(target) as check_lock:
            return _copy_to_server(source, target, check_lock, progress)
    except DBAPIError as error:
        raise store_error(target, error) from error
    finally:
        target.close()


def _copy_to_file(source: Database, path: Path, progress: ShowProgress) -> CopyReport:
    partial = Path(f"{path}.partial")
    with exclusive_file(Path(f"{path}.copying")):
        if path.exists():
            raise StoreError(f"{path} exists; choose another file")
        _remove(partial)  # what a killed copy left
        try:
            growing = open_store(f"sqlite:///{partial}", create=True)
            try:
                done = _fill(source, growing, progress)
                with growing.write_engine.connect() as connection:  # the log moves into the file
                    raw: Any = connection.connection.dbapi_connection  # outside of a transaction
                    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                growing.close()
            _publish(partial, path)
        finally:
            _remove(partial)
    return done


def _publish(partial: Path, path: Path) -> None:
    """Give a file its name, unless another file has got it meanwhile."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise StoreError(f"{path} exists; choose another file") from None
    except OSError:  # a file system without links
        os.replace(partial, path)


def _copy_to_server(
    source: Database, target: Database, check_lock: Callable[[], None], progress: ShowProgress
) -> CopyReport:
    if not _is_unfinished(target):
        if _is_used(target):
            raise StoreError(f"{target} is not empty; choose an empty database")
        upgrade(target)
    _begin(source, target)
    try:
        done = _fill(source, target, progress)
        check_lock()
        with target.write() as connection:
            connection.execute(delete(unfinished_copies))
        return done
    except BaseException:
        with suppress(DBAPIError, StoreError):
            with target.write() as connection:  # first, so that no half of it is ever unmarked
                empty_tables(connection, COPIED_TABLES)
            downgrade(target, "base")
        raise


def _is_unfinished(target: Database) -> bool:
    """Whether a copy into a database was begun and has not ended."""
    with target.read() as connection:
        if not inspect(connection).has_table(unfinished_copies.name):
            return False
        return connection.execute(select(unfinished_copies)).first() is not None


def _begin(source: Database, target: Database) -> None:
    """Mark a database as an unfinished copy, and remove what an interrupted copy left."""
    with target.write() as connection:
        empty_tables(connection, metadata.sorted_tables)
        row = {"origin": str(source), "started_at": utc_now()}
        connection.execute(insert(unfinished_copies).values(row))


def _refuse_active_workers(store: Database) -> None:
    with store.read() as connection:
        gone = dead_local_workers(connection)
        alive = select(func.count()).where(
            IS_ALIVE, workers.c.lease_until > now(connection), workers.c.id.not_in(gone)
        )
        if n := connection.scalar(alive):
            raise StoreError(f"{n} workers are active on {store}; stop them first")


def _is_used(store: Database) -> bool:
    """Whether a database holds a store with rows, but for those of migrations."""
    with store.read() as connection:
        known = set(inspect(connection).get_table_names())
        if "alembic_version" not in known:
            return False
        known.remove("alembic_version")
        return any(
            connection.execute(select(literal(1)).select_from(table(name)).limit(n + 1)).all()[n:]
            for name in sorted(known)
            for n in [1 if name == teachers.name else 0]
        )


def _fill(source: Database, target: Database, progress: ShowProgress) -> CopyReport:
    sent: dict[str, Fingerprint] = {}
    with source.read() as connection:
        counts = [connection.scalar(select(func.count()).select_from(t)) for t in COPIED_TABLES]
        total = sum(n or 0 for n in counts)
        for table in COPIED_TABLES:
            sent[table.name] = Fingerprint()
            with target.write() as writing:
                writing.execute(delete(table))  # rows of migrations are copied as well
            for page in tuple_pages(connection, table):
                sent[table.name].add(page)
                with target.write() as writing:
                    insert_new_tuples(writing, table, tuple(table.c.keys()), page)
                done = sum(each.rows for each in sent.values())
                progress(f"copying {table.name}", done, total)
    with target.write() as writing:
        restart_ids(writing, COPIED_TABLES)
        analyse(writing, *COPIED_TABLES)
    done = 0
    for table in COPIED_TABLES:
        progress(f"comparing {table.name}", done, total)
        done += sent[table.name].rows
        if _fingerprint(target, table) != sent[table.name]:
            raise StoreError(f"the copy of {table.name} differs from the original; it was deleted")
    return CopyReport(
        {name: each.rows for name, each in sent.items()},
        {name: each.value for name, each in sent.items()},
    )


def _fingerprint(store: Database, table: Table) -> Fingerprint:
    found = Fingerprint()
    with store.read() as connection:
        for page in tuple_pages(connection, table):
            found.add(page)
    return found


def _remove(partial: Path) -> None:
    for ending in ("", "-wal", "-shm", ".lock"):
        with suppress(FileNotFoundError):
            os.remove(f"{partial}{ending}")
