"""A copy of a SQLite store as it was at one moment, made while workers go on.

VACUUM INTO reads one snapshot and writes a defragmented file; nobody waits for it. The file gets
its name when it is whole and on disk. PostgreSQL has `pg_dump` for that.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from annoy_store.db.engine import Database, sqlite_module
from annoy_store.errors import StoreError, UsageError


def backup(store: Database, file: Path, *, replace: bool = False) -> int:
    """Write a copy of a store to `file`; return its size in bytes.

    Raises UsageError for a store that is no file, or a file that is there (unless `replace`).
    """
    if store.path is None:
        url = store.url.set(drivername="postgresql").render_as_string(hide_password=True)
        raise UsageError(
            f"PostgreSQL makes its own backups: pg_dump -Fc -f {file} '{url}', "
            f"and back with: pg_restore -d DATABASE {file}"
        )
    if file.exists() and not replace:
        raise UsageError(f"{file} is there already; name another file, or say --replace")
    partial = file.with_name(f"{file.name}.partial")
    with suppress(FileNotFoundError):
        partial.unlink()
    try:
        _vacuum_into(store, partial)
        os.replace(partial, file)
    except BaseException:
        with suppress(FileNotFoundError):
            partial.unlink()
        raise
    _sync(file.parent)
    return file.stat().st_size


def _vacuum_into(store: Database, partial: Path) -> None:
    module = sqlite_module()
    connection: Any = module.connect(str(store.path), isolation_level=None)
    try:
        connection.execute("VACUUM INTO ?", (str(partial),))
    except module.Error as error:
        raise StoreError(f"cannot write {partial}: {error}") from error
    finally:
        connection.close()
    _sync(partial)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
