"""The file of a SQLite store: how it is opened, and whether its name still means that file.

Decisions
- Connections open the file by its resolved path, so a symbolic link has no second lock or log, and
  never create it: a store that is deleted while it is in use must not come back empty.
- The first connection remembers the device and inode of the file. A later one refuses another file
  under the same name: rows of two stores must not be mixed.
- The log of a replaced file is emptied when its content is saved: SQLite would apply it to the new
  file of that name.
- A file on read-only storage is opened as immutable, without a log and shared memory. That is only
  right when its log is empty; otherwise commits would be missing.
- The newest SQLite library is used: `pysqlite3` when Python's own is older than `SAFE_SQLITE`.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from urllib.parse import quote

from annoy_store.errors import StoreError

SAFE_SQLITE = (3, 51, 3)
_PRAGMAS = (
    "busy_timeout = 30000",
    "page_size = 8192",
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "foreign_keys = ON",
    "cache_size = -65536",
    "temp_store = MEMORY",
)
_READ_ONLY_PRAGMAS = ("query_only = ON", "cache_size = -65536", "temp_store = MEMORY")


class StoreFileLost(StoreError):
    """The file of the store was deleted, moved or replaced while it was open."""


class SqliteFile:
    """The file of a SQLite store.

    Args:
        path: the file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self._identity: tuple[int, int] | None = None

    def create(self) -> None:
        """Create the file, empty, unless it exists."""
        if not self.is_read_only:
            self.path.touch()

    @property
    def is_read_only(self) -> bool:
        """Whether the file exists and this process cannot write it, or no log beside it."""
        if not self.path.exists():
            return False
        logged = Path(f"{self.path}-shm").exists()
        return not os.access(self.path, os.W_OK) or not (
            logged or os.access(self.path.parent, os.W_OK)
        )

    def connect(self) -> Any:
        """Open a connection of the driver, in autocommit mode.

        Raises:
            StoreFileLost: the name means another file than before, or none any more.
            StoreError: the file is on read-only storage and its log is not empty.
        """
        if self._identity and not self.is_current:
            raise StoreFileLost(self.lost_message)
        connection = self.open_to_read() if self.is_read_only else self._open("mode=rw")
        connection.isolation_level = None
        with closing(connection.cursor()) as cursor:
            for pragma in _READ_ONLY_PRAGMAS if self.is_read_only else _PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
        self._identity = self._identity or _identity(self.path)
        return connection

    def _open(self, options: str) -> Any:
        uri = f"file:{quote(str(self.path))}?{options}"
        return sqlite_module().connect(uri, uri=True, check_same_thread=False)

    def open_to_read(self) -> Any:
        """Open a connection that cannot write; raises as `connect` does."""
        connection = self._open("mode=ro")
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite_module().OperationalError:
            connection.close()
        else:
            return connection
        log = Path(f"{self.path}-wal")
        if log.exists() and log.stat().st_size:
            raise StoreError(
                f"{self.path} is read-only, and its last commits are still in {log.name}: copy "
                "both files to a folder that can be written, and use that copy"
            )
        return self._open("mode=ro&immutable=1")

    @property
    def is_current(self) -> bool:
        """Whether the name still means the file that was opened first."""
        return self._identity is None or _identity(self.path) == self._identity

    @property
    def lost_message(self) -> str:
        """What happened to a file that is not current, as a sentence."""
        happened = "replaced by another file" if self.path.exists() else "deleted or moved"
        return f"{self.path} was {happened} while it was in use"

    def save(self, connection: Any) -> Path:
        """Write what an open connection sees to a new file beside the lost one.

        Args:
            connection: a connection of the driver, opened before the file was lost.

        Returns:
            The new file.

        Raises:
            StoreError: it cannot be written.
        """
        target = _free_name(self.path)
        try:
            connection.execute("VACUUM INTO ?", (str(target),))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite_module().Error as error:
            with suppress(FileNotFoundError):
                target.unlink()
            raise StoreError(
                f"{self.lost_message}, and {target} cannot be written: {error}"
            ) from error
        return target


def _identity(path: Path) -> tuple[int, int] | None:
    """The device and inode of a file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _free_name(path: Path) -> Path:
    number = 1
    while (name := path.with_name(f"{path.name}.saved-{os.getpid()}-{number}")).exists():
        number += 1
    return name


def sqlite_module() -> ModuleType:
    """Return the newest SQLite library that is installed: Python's own, or `pysqlite3`."""
    if sqlite3.sqlite_version_info >= SAFE_SQLITE:
        return sqlite3
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        return sqlite3
    return cast(ModuleType, dbapi2)


def sqlite_library() -> str:
    """Return the SQLite library in use and whether it is recent enough, for `annoy doctor`."""
    module = sqlite_module()
    version = module.sqlite_version
    safe = tuple(int(p) for p in version.split(".")) >= SAFE_SQLITE
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    return f"{version} ({module.__name__}{'' if safe else ', older than 3.51.3'}, {python})"
