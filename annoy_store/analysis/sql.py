"""Read-only SQL on a store, with streamed rows and a time limit.

Decision: that a statement only reads is enforced by the database, not by searching for keywords. A
file is opened read-only and an authorizer allows nothing but reading. A server runs the statement
as the query of a cursor, which accepts one SELECT and no other statement, in a read-only
transaction, without superuser rights where they can be dropped. Because functions of a server can
have effects outside the transaction, no word of the statement may name a volatile function, one
that runs text as SQL, or a table of passwords: such text could restore the dropped rights.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, StatementError

from annoy_store.db.engine import Database
from annoy_store.db.sqlite_file import sqlite_module
from annoy_store.db.tables import metadata
from annoy_store.db.views import VIEWS
from annoy_store.errors import UsageError, did_you_mean

Value = str | int | float | None
"""A value of a named parameter."""
READ_ONLY_PRAGMAS = {
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "compile_options",
    "page_count",
    "page_size",
    "freelist_count",
}
_FORBIDDEN = re.compile(
    r"\b(dblink\w*|lo_\w+|pg_(?:terminate_backend|cancel_backend|reload_conf|rotate_logfile|"
    r"read_\w*file|ls_\w+|stat_file|file_\w+|logical_emit_message|create_\w+|switch_wal|promote|"
    r"try_advisory\w*|advisory\w*|sleep\w*|notify|replication_\w+|drop_replication\w*)|"
    r"set_config|query_to_xml\w*|cursor_to_xml\w*|table_to_xml\w*|ts_stat|ts_rewrite|crosstab\w*|"
    r"connectby|xpath_table|pg_authid|pg_shadow|pg_subscription|pg_user_mapping\w*|pg_export_snapshot|pg_current_xact_id|txid_current)\b",
    re.IGNORECASE,
)
_ALLOWED_VOLATILE = [  # volatile functions that return a number or a time and have no effect
    "random",
    "random_normal",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "clock_timestamp",
    "timeofday",
    "pg_relation_size",
    "pg_table_size",
    "pg_indexes_size",
    "pg_total_relation_size",
    "pg_database_size",
]
_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
_ALIAS = re.compile(r"\bAS (\w+)")
_UNKNOWN = re.compile(  # SQLite, then PostgreSQL and DuckDB
    r"""no\ such\ \w+:\ (?:\w+\.)*(\w+) | (?:relation|column|name)\ "?(?:\w+\.)*(\w+)"?""",
    re.VERBOSE,
)
_CHECK_STEPS = 10_000  # of the virtual machine between two checks of the time limit
_FETCH_ROWS = 1_000


@dataclass(frozen=True)
class QueryResult:
    """The result of a query.

    Attributes:
        columns: Names of the columns.
        rows: The rows, streamed while the query's context is open.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@dataclass(frozen=True)
class RelationInfo:
    """A table or view of the schema.

    Attributes:
        name: Its name.
        kind: `view` or `table`.
        meaning: One sentence on its rows.
        columns: Names of its columns.
        example: A query to start with; None for a table.
    """

    name: str
    kind: str
    meaning: str
    columns: tuple[str, ...]
    example: str | None = None


@contextmanager
def run_query(
    store: Database, query: str, values: Mapping[str, Value] | None = None, seconds: float = 600.0
) -> Iterator[QueryResult]:
    """Run one read-only statement on the store and stream its rows.

    Args:
        store: The store.
        query: One SELECT, or another statement that only reads.
        values: Values of named parameters; `:name` in the query stands for `values[name]`.
        seconds: Time limit.

    Raises:
        UsageError: The text is not one reading statement, has a mistake, or takes longer than
            `seconds`; here or while the rows are read.
    """
    if not query.strip().strip(";"):
        raise UsageError("the query is empty; try: annoy sql 'SELECT * FROM v_funnel'")
    run = _query_file if store.is_sqlite else _query_server
    with run(store, query.strip().rstrip(";"), dict(values or {}), seconds) as result:
        yield result


def describe(store: Database) -> list[RelationInfo]:
    """Return every table and view of the schema, views first."""
    relations = []
    for view in VIEWS:
        with run_query(store, f"SELECT * FROM {view.name} LIMIT 0") as result:
            columns = result.columns
        relations.append(RelationInfo(view.name, "view", view.meaning, columns, view.example))
    for table in metadata.sorted_tables:
        columns = tuple(column.name for column in table.columns)
        relations.append(RelationInfo(table.name, "table", table.comment or "", columns))
    return relations


# A file --------------------------------------------------------------------------------------


@contextmanager
def _query_file(
    store: Database, query: str, values: dict[str, Value], seconds: float
) -> Iterator[QueryResult]:
    assert store.file is not None
    module = sqlite_module()
    try:
        with closing(store.file.open_to_read()) as connection:
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.set_authorizer(_authorizer(module))
            end = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > end, _CHECK_STEPS)
            cursor = connection.execute(query, values)
            columns = tuple(d[0] for d in cursor.description or ())
            if not columns:
                raise UsageError(
                    "the statement returns no rows; only SELECT and the like are allowed"
                )
            yield QueryResult(columns, iter(cursor))
    except (module.Error, module.Warning) as error:
        raise UsageError(_file_error(str(error), seconds)) from None


def _authorizer(module: Any) -> Any:
    reading = {module.SQLITE_SELECT, module.SQLITE_READ, module.SQLITE_RECURSIVE}

    def allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        allowed = (
            action in reading
            or (action == module.SQLITE_FUNCTION and second != "load_extension")
            or (action == module.SQLITE_PRAGMA and first in READ_ONLY_PRAGMAS)
        )
        return int(module.SQLITE_OK if allowed else module.SQLITE_DENY)

    return allow


def _file_error(message: str, seconds: float) -> str:
    lowered = message.lower()
    if lowered == "interrupted":
        return f"the query took longer than {seconds:g} s and was stopped; narrow it or raise --seconds"
    if "authoriz" in lowered or "prohibited" in lowered or "readonly" in lowered:
        return f"only reading is allowed here ({message})"
    if "one statement" in lowered:
        return "one statement at a time"
    if "no such table" in lowered or "no such column" in lowered:
        return unknown_relation(message)
    if "binding" in lowered:
        return f"{message.rstrip('.')}; give its value with -p name=value"
    return f"SQL: {message}"


def unknown_relation(message: str) -> str:
    """Return the error for a name that the store does not have, with a similar one that it has."""
    named = _UNKNOWN.search(message)
    near = did_you_mean(named[1] or named[2], _known_names()) if named else ""
    return f"{message}{near}; list tables and columns with: annoy sql"


@cache
def _known_names() -> tuple[str, ...]:
    """The names of all tables, views and columns."""
    names = {view.name for view in VIEWS} | set(metadata.tables)
    names |= {column.name for table in metadata.sorted_tables for column in table.columns}
    return tuple(names | {word for view in VIEWS for word in _ALIAS.findall(view.sql)})


# A server ------------------------------------------------------------------------------------


@contextmanager
def _query_server(
    store: Database, query: str, values: dict[str, Value], seconds: float
) -> Iterator[QueryResult]:
    if (forbidden := _FORBIDDEN.search(query)) or re.search(r"\bU&\s*[\"']", query, re.IGNORECASE):
        word = forbidden[0] if forbidden else "U&"
        raise UsageError(f"only reading is allowed here ({word} is not permitted)")
    try:
        with store.read_engine.connect() as connection, connection.begin():
            _drop_privileges(connection, seconds)
            _reject_volatile(connection, query)
            streaming = connection.execution_options(
                stream_results=True, max_row_buffer=_FETCH_ROWS
            )
            with streaming.execute(_statement(query, values), values) as result:
                yield QueryResult(tuple(result.keys()), (tuple(row) for row in result))
    except (DBAPIError, InvalidRequestError, StatementError) as error:
        raise UsageError(_server_error(error, seconds)) from None


def _drop_privileges(connection: Connection, seconds: float) -> None:
    connection.execute(text("SET TRANSACTION READ ONLY"))
    connection.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))
    superuser = text(
        "SELECT current_setting('is_superuser') = 'on' AND EXISTS "
        "(SELECT 1 FROM pg_roles WHERE rolname = 'pg_read_all_data')"
    )
    if connection.scalar(superuser):
        connection.execute(text("SET LOCAL ROLE pg_read_all_data"))


def _reject_volatile(connection: Connection, query: str) -> None:
    """Reject a query with a word that names a volatile function, even inside a string.

    Raises:
        UsageError: There is such a word.
    """
    volatile = text(
        "SELECT proname FROM pg_catalog.pg_proc WHERE provolatile = 'v' AND prokind <> 'a' "
        "AND proname = ANY(:words) AND proname <> ALL(:harmless) ORDER BY proname LIMIT 1"
    )
    words = sorted(set(re.findall(r"\w+", query.lower())))
    name = connection.scalar(volatile, {"words": words, "harmless": _ALLOWED_VOLATILE})
    if name is not None:
        raise UsageError(f"only reading is allowed here ({name} is not permitted)")


def _statement(query: str, values: Mapping[str, Value]) -> Any:
    """Return the query with those `:name`s as parameters that have a value."""
    return text(_PARAMETER.sub(lambda m: m[0] if m[1] in values else f"\\{m[0]}", query))


def _server_error(error: Exception, seconds: float) -> str:
    cause = getattr(error, "orig", None)
    message = (str(cause or error).strip().splitlines() or ["unknown error"])[0]
    state = getattr(cause, "sqlstate", None)
    if state == "57014":
        return f"the query took longer than {seconds:g} s and was stopped; narrow it or raise --seconds"
    if state == "25006" or (state == "42501" and "denied" in message):
        return f"only reading is allowed here ({message})"
    if state in {"42P01", "42703"}:
        return unknown_relation(message)
    if "data-modifying" in message:
        return f"only reading is allowed here ({message})"
    if state == "42601":
        return f"SQL: {message}; one SELECT at a time"
    return f"SQL: {message}"


__all__: Sequence[str] = ["QueryResult", "RelationInfo", "describe", "run_query"]
