"""Back up a SQLite store as of one moment, while workers continue.

VACUUM INTO reads one snapshot and writes a defragmented file; it blocks nobody. The file is renamed
into place when it is complete and synced to disk. PostgreSQL has `pg_dump` for that.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from annoy_store.db.engine import Database
from annoy_store.db.sqlite_file import sqlite_module
from annoy_store.errors import StoreError, UsageError
from annoy_store.interfaces import ShowProgress, show_nothing

INSTRUCTIONS = 20_000  # of SQLite's machine between two looks at the size of the copy


def backup(
    store: Database, file: Path, progress: ShowProgress = show_nothing, *, replace: bool = False
) -> int:
    """Write a copy of a store to `file`.

    Args:
        store: A SQLite store.
        file: The file to write.
        progress: Called with the bytes written.
        replace: Overwrite an existing file.

    Returns:
        Size of the copy in bytes.

    Raises:
        UsageError: The store is not a file, or `file` exists and `replace` is not given.
        StoreError: The copy cannot be written.
    """
    if store.path is None:
        url = store.url.set(drivername="postgresql").render_as_string(hide_password=True)
        raise UsageError(
            f"use PostgreSQL's own backups: pg_dump -Fc -f {file} '{url}', "
            f"restore with: pg_restore -d DATABASE {file}"
        )
    if file.exists() and not replace:
        raise UsageError(f"{file} exists; choose another file, or use --replace")
    partial = file.with_name(f"{file.name}.partial")
    with suppress(FileNotFoundError):
        partial.unlink()
    try:
        _vacuum_into(store, partial, progress)
        os.replace(partial, file)
    except BaseException:
        with suppress(FileNotFoundError):
            partial.unlink()
        raise
    _sync(file.parent)
    return file.stat().st_size


def _vacuum_into(store: Database, partial: Path, progress: ShowProgress) -> None:
    module = sqlite_module()
    connection: Any = module.connect(str(store.path), isolation_level=None)
    total = _n_bytes(connection)

    def show() -> int:  # a signal is handled here, too, and its exception ends the statement
        progress("writing the backup", partial.stat().st_size if partial.exists() else 0, total)
        return 0

    connection.set_progress_handler(show, INSTRUCTIONS)
    show()
    try:
        connection.execute("VACUUM INTO ?", (str(partial),))
    except module.Error as error:
        raise StoreError(f"cannot write {partial}: {error}") from error
    finally:
        connection.close()
    _sync(partial)


def _n_bytes(connection: Any) -> int:
    """Return how large a defragmented copy of a database will be, at most."""
    size, used, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    return int(size * (used - free))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
