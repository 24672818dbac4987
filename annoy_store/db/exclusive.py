"""Exclusive use of a place that a store is written to, and emptying a server database."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError

from annoy_store.db.engine import Database
from annoy_store.errors import StoreError

_COPY_LOCK = 7305112  # the advisory lock of copies on PostgreSQL


@contextmanager
def exclusive_file(path: Path) -> Iterator[None]:
    """Hold a lock file, which is removed at the end; the lock ends with the process.

    Args:
        path: The lock file.

    Raises:
        StoreError: Another process holds it, or the folder cannot be written.
    """
    try:
        descriptor = _lock(path)
    except OSError as error:
        raise StoreError(f"cannot write {path.with_suffix('')}: {error.strerror}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while locked, so that nobody holds a file without a name
        os.close(descriptor)


def _lock(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise StoreError(f"another process is writing {path.with_suffix('')}") from None
        os.close(descriptor)  # its last holder has removed it meanwhile


@contextmanager
def exclusive_database(store: Database) -> Iterator[Callable[[], None]]:
    """Hold the lock of copies on a server database; it ends with its connection.

    Args:
        store: A store on a server.

    Yields:
        A function that raises an error if the connection, and so the lock, was lost.

    Raises:
        StoreError: Another process holds it.
    """
    with store.write_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as lock:
        if not lock.scalar(text(f"SELECT pg_try_advisory_lock({_COPY_LOCK})")):
            raise StoreError(f"another copy to {store} is under way; wait until it has ended")
        try:
            yield lambda: lock.execute(text("SELECT 1")).close()
        finally:
            with suppress(
                DBAPIError
            ):  # a server ends a closed session, and its lock, a little later
                lock.execute(text(f"SELECT pg_advisory_unlock({_COPY_LOCK})"))
            lock.invalidate()


def empty_tables(connection: Connection, tables: Iterable[Table]) -> None:
    """Remove all rows of tables of a server database; tables that refer to them must be named, too."""
    names = ", ".join(f'"{table.name}"' for table in tables)
    connection.execute(text(f"TRUNCATE {names}"))
