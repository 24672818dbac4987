"""Questions to a columnar snapshot of the store: DuckDB over Parquet parts, reading only.

Decisions
- The snapshot is brought up to date when it is asked. It lies beside a SQLite file as
  `FILE.snapshot`, else in the user's cache folder; it may be deleted at any time.
- DuckDB sees the parts under the names of the store's tables and views. Before it sees a question
  it loses its access to everything else, and may not get it back: no other file, no network, no
  extension, no setting, no Python variable. One SELECT at a time; a question is bounded in time,
  memory and disk.
- Large texts are not in it; a question that names one is for the store itself (`OnlyInStore`).
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

from annoy_store.analysis.snapshot.parts import Manifest, reading
from annoy_store.analysis.snapshot.refresh import refresh
from annoy_store.analysis.snapshot.schema import ASKED, LEFT_OUT, SKIPPED, statements
from annoy_store.analysis.sql import Found, Value, run_query
from annoy_store.db.duckdb_session import open_duckdb
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.hashing import digest


class OnlyInStore(UsageError):
    """The snapshot cannot answer this; the store itself can."""


MEMORY = "2GB"
SPILL = "8GB"
_ASKED = {table.name for table in ASKED}
_FETCHED = 1_000
_REFUSED = re.compile(  # how DuckDB says that it may not, in errors of other classes
    r"configuration has been locked|exists in the \w+ extension|can only \w+ (from|into) base table",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | \$(\w*)\$.*?\$\1\$ | --[^\n]* | /\*.*?\*/
      | ::?\w*""",
    re.VERBOSE | re.DOTALL,
)


def folder_of(store: Database) -> Path:
    """Where the snapshot of a store lies."""
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
) -> Iterator[Found]:
    """Ask one question of the snapshot, refreshed first if `fresh`; `:name` stands for a value.

    Rows stream. Raises UsageError, here or while the rows are read, for what is not one reading
    statement, for a mistake in it, for a text that only the store has, and for taking too long.
    """
    with opened(store, fresh=fresh) as duck, ask(duck, sql, values, seconds) as found:
        yield found


@contextmanager
def ask(
    duck: duckdb.DuckDBPyConnection,
    sql: str,
    values: Mapping[str, Value] | None = None,
    seconds: float = 600.0,
) -> Iterator[Found]:
    """Ask one question of a snapshot that is open; as `query`."""
    with _bounded(duck, seconds):
        try:
            statement, given = _prepared(duck, sql, values or {})
            cursor = duck.execute(statement, given)
            names = tuple(column[0] for column in cursor.description or ())
            yield Found(names, _rows(cursor))
        except duckdb.Error as error:
            raise _fault(error, seconds) from None


@contextmanager
def asker(
    store: Database, *, live: bool = False
) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """A function that asks the snapshot, refreshed once; or the store, if `live` or it must."""

    def ask_store(sql: str) -> list[tuple[Any, ...]]:
        with run_query(store, sql) as found:
            return list(found.rows)

    with ExitStack() as stack:
        try:
            duck = None if live else stack.enter_context(opened(store))
        except OnlyInStore:
            duck = None
        yield ask_store if duck is None else lambda sql: duck.execute(sql).fetchall()


@contextmanager
def opened(store: Database, *, fresh: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that holds the tables and views of the store, and can reach nothing else."""
    folder = folder_of(store)
    if fresh:
        try:
            refresh(store, folder)
        except OSError as error:
            words = f"cannot keep a snapshot in {folder} ({error.strerror})"
            raise OnlyInStore(f"{words}; ask the store itself: --live") from error
    threads = os.cpu_count() or 1
    with (
        reading(folder) as state,
        tempfile.TemporaryDirectory(prefix="annoy-", ignore_cleanup_errors=True) as spill,
        open_duckdb(Path(spill), threads=threads, memory=MEMORY) as duck,
    ):
        _lay_out(duck, folder, state)
        _lock_up(duck, folder, state)
        yield duck


def _lay_out(duck: duckdb.DuckDBPyConnection, folder: Path, state: Manifest) -> None:
    for table, kept in state.tables.items():
        files = ", ".join(_quoted(str(folder / file)) for file in kept.files)
        name = f"kept_{table}" if table in _ASKED else table
        duck.execute(f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet([{files}])')
    counted = "SELECT stage FROM variants GROUP BY stage HAVING count(*) > 1"
    for statement in statements({stage for (stage,) in duck.execute(counted).fetchall()}):
        duck.execute(statement)


def _lock_up(duck: duckdb.DuckDBPyConnection, folder: Path, state: Manifest) -> None:
    files = ", ".join(_quoted(str(folder / file)) for file in sorted(state.files))
    for setting in (
        f"max_temp_directory_size = '{SPILL}'",
        "python_enable_replacements = false",
        f"allowed_paths = [{files}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        duck.execute(f"SET {setting}")


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"


# One question --------------------------------------------------------------------------------


def _prepared(
    duck: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Value]
) -> tuple[duckdb.Statement, dict[str, Value]]:
    """The one SELECT in `sql`, with its values. Raises UsageError for anything else."""
    statements = duck.extract_statements(_named(sql, values))
    if not statements:
        raise UsageError("there is no SQL in that; try: annoy sql 'SELECT * FROM v_funnel'")
    if len(statements) > 1:
        raise UsageError("one statement at a time")
    [statement] = statements
    if statement.type != duckdb.StatementType.SELECT:
        word = statement.type.name
        raise UsageError(f"only reading is allowed here ({word} is refused); ask with SELECT")
    return statement, {k: v for k, v in values.items() if k in statement.named_parameters}


def _named(sql: str, values: Mapping[str, Value]) -> str:
    """`:name` as DuckDB spells it, where `name` has a value; texts and casts stay as they are."""

    def spelled(found: re.Match[str]) -> str:
        word = found[0]
        known = word.startswith(":") and word[1:] in values
        return f"${word[1:]}" if known else word

    return _TOKEN.sub(spelled, sql)


def _rows(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(_FETCHED):
        for row in rows:
            yield tuple(map(_plain, row))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


@contextmanager
def _bounded(duck: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt what takes longer."""
    timer = threading.Timer(seconds, duck.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _fault(error: duckdb.Error, seconds: float) -> UsageError:
    words = (str(error).strip().splitlines() or ["unknown error"])[0]
    if isinstance(error, duckdb.InterruptException):
        words = f"the query took longer than {seconds:g} s and was stopped; narrow it, or --seconds"
    elif isinstance(error, duckdb.PermissionException) or _REFUSED.search(words):
        words = "only reading the store is allowed here (files, network, extensions are refused)"
    elif isinstance(error, duckdb.OutOfMemoryException):
        words = "the query needs too much memory and disk; narrow it"
    elif isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        return _unknown(words)
    elif isinstance(error, duckdb.InvalidInputException) and "parameters" in words:
        words = f"{words}; give a value with -p name=value"
    else:
        words = f"SQL: {words}"
    return UsageError(words)


def _unknown(words: str) -> UsageError:
    """A name that is not there: either it is no name, or the store alone has it."""
    named = re.search(r'(?:column named|column|with name) "?(\w+)"?', words)
    if named and (named[1] in LEFT_OUT or named[1] in SKIPPED):
        return OnlyInStore(f"{named[1]} is not in the snapshot; ask the store itself: --live")
    if "Function" in words:
        return UsageError(f"SQL: {words}; the functions of the store itself: --live")
    if "not found" in words or "does not exist" in words:
        return UsageError(f"{words}; what there is: annoy sql")
    return UsageError(f"SQL: {words}")
