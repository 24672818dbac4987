"""Tables that are computed from a snapshot and kept beside its parts, for queries that must be fast.

Decisions
- They are one DuckDB file, whose name says which parts and which queries it was computed from: it
  is computed again only if either changed, and never changed itself. A reader keeps its file open,
  so an older one can be removed at any time.
- The file is opened read-only and holds what the package's own queries need; nothing that somebody
  typed runs on it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from annoy_store.analysis.snapshot.parts import Manifest, file_locked, load
from annoy_store.analysis.snapshot.query import (
    NotInSnapshot,
    bind_parameters,
    create_views,
    refresh_snapshot,
    snapshot_folder,
    sql_literal,
)
from annoy_store.analysis.sql import Value
from annoy_store.db.duckdb_session import open_duckdb
from annoy_store.db.engine import Database
from annoy_store.hashing import digest

MEMORY = "1GB"  # to compute the tables; more is spilled to disk
READ_MEMORY = "256MB"
FOLDER = "derived"


class DerivedTables:
    """An open file of derived tables, to be used by several threads.

    Attributes:
        path: The file.
        at: When it was last known to be what the store has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        self._duck = duckdb.connect(
            path,
            read_only=True,
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "memory_limit": READ_MEMORY,
                "threads": os.cpu_count() or 1,
            },
        )

    def rows(self, query: str, values: Mapping[str, Value] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT of the package.

        Args:
            query: The SELECT; `:name` stands for `values[name]`.
            values: Values of its parameters.
        """
        given = values or {}
        with self._duck.cursor() as cursor:
            return cursor.execute(bind_parameters(query, given), dict(given)).fetchall()


def derive(store: Database, queries: Mapping[str, str]) -> DerivedTables:
    """Bring a snapshot up to date, compute the tables from it if needed, and open them.

    Args:
        store: The store.
        queries: The SELECT of each table, by its name.

    Raises:
        NotInSnapshot: No snapshot can be kept in its folder.
    """
    refresh_snapshot(store)
    folder = snapshot_folder(store)
    try:
        with file_locked(folder / "refresh.lock", fcntl.LOCK_EX):
            return DerivedTables(_computed(folder, queries))
    except OSError as error:
        raise NotInSnapshot(f"cannot keep a snapshot in {folder} ({error.strerror})") from error


def open_derived(store: Database, queries: Mapping[str, str]) -> DerivedTables | None:
    """Open the tables as they were computed last; None if they never were.

    Args:
        store: The store.
        queries: The SELECT of each table, by its name.
    """
    folder = snapshot_folder(store) / FOLDER
    found = sorted(folder.glob(f"{_name(queries)}-*.duckdb"), key=lambda path: path.stat().st_mtime)
    with suppress(duckdb.Error):
        return DerivedTables(found[-1]) if found else None
    return None


def _name(queries: Mapping[str, str]) -> str:
    return digest("derived", dict(queries))[:16]


def _computed(folder: Path, queries: Mapping[str, str]) -> Path:
    """Return the file of the tables; it is made if it is not there, and others are removed."""
    state = load(folder)
    (folder / FOLDER).mkdir(exist_ok=True)
    parts = digest("parts", sorted(state.files))[:16]
    path = folder / FOLDER / f"{_name(queries)}-{parts}.duckdb"
    if path.exists():
        path.touch()  # it is still what the store has
        return path
    for other in (folder / FOLDER).iterdir():
        other.unlink(missing_ok=True)
    made = path.with_suffix(".tmp")
    _compute(folder, state, queries, made)
    made.replace(path)
    return path


def _compute(folder: Path, state: Manifest, queries: Mapping[str, str], path: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="annoy-", ignore_cleanup_errors=True) as spill,
        open_duckdb(Path(spill), threads=os.cpu_count() or 1, memory=MEMORY) as duck,
    ):
        create_views(duck, folder, state)
        duck.execute(f"ATTACH {sql_literal(str(path))} AS derived")
        for name, query in queries.items():
            duck.execute(f'CREATE TABLE derived."{name}" AS {query}')
        duck.execute("DETACH derived")
