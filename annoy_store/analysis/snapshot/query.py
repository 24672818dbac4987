"""Read-only SQL on a columnar snapshot of the store: DuckDB over Parquet parts.

Decisions
- The snapshot is refreshed when it is queried. It is stored beside a SQLite file as
  `FILE.snapshot`, else in the user's cache folder; it may be deleted at any time.
- DuckDB has the parts under the names of the store's tables and views. Before it runs a query, its
  access to everything else is removed for good: no other file, network, extension, setting or
  Python variable. One SELECT at a time, limited in time, memory and disk.
- Large texts are not in it; a query that names one raises `NotInSnapshot`.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from annoy_store.analysis.snapshot.parts import Manifest, read_locked
from annoy_store.analysis.snapshot.refresh import refresh
from annoy_store.analysis.snapshot.schema import (
    EXTENDED_TABLES,
    OMITTED_COLUMNS,
    SKIPPED_TABLES,
    view_statements,
)
from annoy_store.analysis.sql import QueryResult, Value, run_query, unknown_relation
from annoy_store.db.duckdb_session import open_duckdb
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.hashing import digest


class NotInSnapshot(UsageError):
    """The snapshot lacks what the query needs; the store itself has it."""


MEMORY = "2GB"
SPILL = "8GB"
_VIEWED_TABLES = {table.name for table in EXTENDED_TABLES}
_FETCH_ROWS = 1_000
_ACCESS_ERROR = re.compile(  # denied access, in errors of other classes
    r"configuration has been locked|exists in the \w+ extension|can only \w+ (from|into) base table",
    re.IGNORECASE,
)
# MULTI is what DuckDB makes of a PIVOT whose columns have to be looked up first
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)
_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | \$(\w*)\$.*?\$\1\$ | --[^\n]* | /\*.*?\*/
      | ::?\w*""",
    re.VERBOSE | re.DOTALL,
)


def snapshot_folder(store: Database) -> Path:
    """Return the folder of a store's snapshot; it need not exist."""
    if store.path is not None and os.access(store.path.parent, os.W_OK):
        return store.path.with_name(f"{store.path.name}.snapshot")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    named = store.path.resolve() if store.path else store.url.set(password=None)
    return Path(cache) / "annoy-store" / f"{digest('store', str(named))[:16]}.snapshot"


@contextmanager
def query(
    store: Database,
    sql: str,
    values: Mapping[str, Value] | None = None,
    seconds: float = 600.0,
    *,
    fresh: bool = True,
) -> Iterator[QueryResult]:
    """Run one SELECT on the snapshot of a store and stream its rows.

    Args:
        store: The store.
        sql: One SELECT.
        values: Values of named parameters; `:name` in the SQL stands for `values[name]`.
        seconds: Time limit.
        fresh: Refresh the snapshot first.

    Raises:
        NotInSnapshot: The query names a text that only the store has, or no snapshot can be kept.
        UsageError: The text is not one SELECT, has a mistake, or takes longer than `seconds`; here
            or while the rows are read.
    """
    with open_snapshot(store, fresh=fresh) as duck, execute(duck, sql, values, seconds) as result:
        yield result


@contextmanager
def execute(
    duck: duckdb.DuckDBPyConnection,
    sql: str,
    values: Mapping[str, Value] | None = None,
    seconds: float = 600.0,
) -> Iterator[QueryResult]:
    """Run one SELECT on an open snapshot; arguments and errors are those of `query`."""
    with _time_limit(duck, seconds):
        try:
            statement, given = _parse_select(duck, sql, values or {})
            cursor = duck.execute(statement, given)
            names = tuple(column[0] for column in cursor.description or ())
            yield QueryResult(names, _rows(cursor))
        except duckdb.Error as error:
            raise _usage_error(error, seconds) from None


@contextmanager
def open_runner(
    store: Database, *, live: bool = False
) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Open a function that runs SQL on the snapshot, refreshed once, or on the store.

    Args:
        store: The store.
        live: Query the store. It is queried too when no snapshot can be kept.
    """

    def run_on_store(sql: str) -> list[tuple[Any, ...]]:
        with run_query(store, sql) as found:
            return list(found.rows)

    with ExitStack() as stack:
        try:
            duck = None if live else stack.enter_context(open_snapshot(store))
        except NotInSnapshot:
            duck = None
        yield run_on_store if duck is None else lambda sql: duck.execute(sql).fetchall()


@contextmanager
def open_snapshot(store: Database, *, fresh: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB that has the tables and views of the store, and access to nothing else.

    Args:
        store: The store.
        fresh: Refresh the snapshot first.

    Raises:
        NotInSnapshot: No snapshot can be kept in its folder.
    """
    folder = snapshot_folder(store)
    if fresh:
        refresh_snapshot(store)
    threads = os.cpu_count() or 1
    with (
        read_locked(folder) as state,
        tempfile.TemporaryDirectory(prefix="annoy-", ignore_cleanup_errors=True) as spill,
        open_duckdb(Path(spill), threads=threads, memory=MEMORY) as duck,
    ):
        create_views(duck, folder, state)
        _restrict_access(duck, folder, state)
        yield duck


def refresh_snapshot(store: Database) -> None:
    """Bring the snapshot of a store up to date.

    Raises:
        NotInSnapshot: No snapshot can be kept in its folder.
    """
    folder = snapshot_folder(store)
    try:
        refresh(store, folder)
    except OSError as error:
        reason = f"cannot keep a snapshot in {folder} ({error.strerror})"
        raise NotInSnapshot(f"{reason}; query the store itself: --live") from error


def create_views(duck: duckdb.DuckDBPyConnection, folder: Path, state: Manifest) -> None:
    """Create the tables and views of the store over the parts of a state."""
    for table, parts in state.tables.items():
        files = ", ".join(sql_literal(str(folder / file)) for file in parts.files)
        name = f"kept_{table}" if table in _VIEWED_TABLES else table
        duck.execute(f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet([{files}])')
    counted = "SELECT stage FROM variants GROUP BY stage HAVING count(*) > 1"
    for statement in view_statements({stage for (stage,) in duck.execute(counted).fetchall()}):
        duck.execute(statement)


def _restrict_access(duck: duckdb.DuckDBPyConnection, folder: Path, state: Manifest) -> None:
    files = ", ".join(sql_literal(str(folder / file)) for file in sorted(state.files))
    for setting in (
        f"max_temp_directory_size = '{SPILL}'",
        "python_enable_replacements = false",
        f"allowed_paths = [{files}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        duck.execute(f"SET {setting}")


def sql_literal(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


# One query -----------------------------------------------------------------------------------


def _parse_select(
    duck: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Value]
) -> tuple[duckdb.Statement, dict[str, Value]]:
    """Return the one SELECT in `sql`, with its values.

    Raises:
        UsageError: It is anything else.
    """
    statements = duck.extract_statements(bind_parameters(sql, values))
    if not statements:
        raise UsageError("the query is empty; try: annoy sql 'SELECT * FROM v_funnel'")
    if len(statements) > 1:
        raise UsageError("one statement at a time")
    [statement] = statements
    if statement.type not in _READING:
        word = statement.type.name
        raise UsageError(f"only reading is allowed here ({word} is not permitted); use SELECT")
    return statement, {k: v for k, v in values.items() if k in statement.named_parameters}


def bind_parameters(sql: str, values: Mapping[str, Value]) -> str:
    """Spell `:name` as DuckDB does where `name` has a value; strings and casts stay."""

    def spelled(found: re.Match[str]) -> str:
        word = found[0]
        known = word.startswith(":") and word[1:] in values
        return f"${word[1:]}" if known else word

    return _TOKEN.sub(spelled, sql)


def _rows(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(_FETCH_ROWS):
        for row in rows:
            yield tuple(map(_plain_number, row))


def _plain_number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


@contextmanager
def _time_limit(duck: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt a query that takes longer."""
    timer = threading.Timer(seconds, duck.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _usage_error(error: duckdb.Error, seconds: float) -> UsageError:
    message = (str(error).strip().splitlines() or ["unknown error"])[0]
    if isinstance(error, duckdb.InterruptException):
        message = f"the query took longer than {seconds:g} s and was stopped; narrow it or raise --seconds"
    elif isinstance(error, duckdb.PermissionException) or _ACCESS_ERROR.search(message):
        message = "only reading the store is allowed here (no files, network or extensions)"
    elif isinstance(error, duckdb.OutOfMemoryException):
        message = "the query needs too much memory and disk; narrow it"
    elif isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        return _unknown_name(message)
    elif isinstance(error, duckdb.InvalidInputException) and "parameters" in message:
        message = f"{message}; give a value with -p name=value"
    else:
        message = f"SQL: {message}"
    return UsageError(message)


def _unknown_name(message: str) -> UsageError:
    """Return the error for an unknown name, which the store itself may have."""
    named = re.search(r'(?:column named|column|with name) "?(\w+)"?', message)
    if named and (named[1] in OMITTED_COLUMNS or named[1] in SKIPPED_TABLES):
        return NotInSnapshot(f"{named[1]} is not in the snapshot; query the store itself: --live")
    if "Function" in message:
        return UsageError(f"SQL: {message}; functions of the store itself need --live")
    if "not found" in message or "does not exist" in message:
        return UsageError(unknown_relation(message))
    return UsageError(f"SQL: {message}")
