"""SQL for people: any question, and nothing but questions.

Decision: a statement may only read, whatever it says, by the database's own means and not by
looking for bad words. A file is opened read-only and an authorizer allows nothing but reading; a
server runs the statement as the query of a cursor, which takes one SELECT and no other statement,
in a read-only transaction, without superuser rights where they can be laid down. As functions of
a server can reach past a transaction, no word of the statement may name one that acts (the server
calls them volatile), runs a text as SQL, or shows passwords: by such a text the rights that were
laid down could be taken up again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, StatementError

from annoy_store.db.engine import Database, sqlite_module
from annoy_store.db.tables import metadata
from annoy_store.db.views import VIEWS
from annoy_store.errors import UsageError

Value = str | int | float | None
READING_PRAGMAS = {
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
_REACHING = re.compile(
    r"\b(dblink\w*|lo_\w+|pg_(?:terminate_backend|cancel_backend|reload_conf|rotate_logfile|"
    r"read_\w*file|ls_\w+|stat_file|file_\w+|logical_emit_message|create_\w+|switch_wal|promote|"
    r"try_advisory\w*|advisory\w*|sleep\w*|notify|replication_\w+|drop_replication\w*)|"
    r"set_config|query_to_xml\w*|cursor_to_xml\w*|table_to_xml\w*|ts_stat|ts_rewrite|crosstab\w*|"
    r"connectby|xpath_table|pg_authid|pg_shadow|pg_subscription|pg_user_mapping\w*|pg_export_snapshot|pg_current_xact_id|txid_current)\b",
    re.IGNORECASE,
)
_HARMLESS = [  # of the volatile functions: they give a number or a moment, and do nothing
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
_NAME = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
_STEPS = 10_000  # of the virtual machine between two looks at the clock
_FETCHED = 1_000


@dataclass(frozen=True)
class Found:
    """The answer to a question: the names of its columns, and its rows as they come."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@dataclass(frozen=True)
class Described:
    """A table or view, what it means, its columns, and for a view a question to start with."""

    name: str
    kind: str
    meaning: str
    columns: tuple[str, ...]
    example: str | None = None


@contextmanager
def run_query(
    store: Database, query: str, values: Mapping[str, Value] | None = None, seconds: float = 600.0
) -> Iterator[Found]:
    """Ask one question; `:name` in it stands for `values[name]`. Rows stream.

    Raises UsageError, here or while the rows are read, for what is not one reading statement,
    for a mistake in it, and when it takes longer than `seconds`.
    """
    if not query.strip().strip(";"):
        raise UsageError("there is no SQL in that; try: annoy sql 'SELECT * FROM v_funnel'")
    ask = _ask_file if store.is_sqlite else _ask_server
    with ask(store, query.strip().rstrip(";"), dict(values or {}), seconds) as found:
        yield found


def describe(store: Database) -> list[Described]:
    """Every table and view of the schema, views first: they are what people ask."""
    listed = []
    for view in VIEWS:
        with run_query(store, f"SELECT * FROM {view.name} LIMIT 0") as found:
            columns = found.columns
        listed.append(Described(view.name, "view", view.meaning, columns, view.example))
    for table in metadata.sorted_tables:
        columns = tuple(column.name for column in table.columns)
        listed.append(Described(table.name, "table", table.comment or "", columns))
    return listed


# A file --------------------------------------------------------------------------------------


@contextmanager
def _ask_file(
    store: Database, query: str, values: dict[str, Value], seconds: float
) -> Iterator[Found]:
    module = sqlite_module()
    try:
        with closing(_open_file(module, store.path or Path())) as connection:
            connection.set_authorizer(_authorizer(module))
            end = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            cursor = connection.execute(query, values)
            columns = tuple(d[0] for d in cursor.description or ())
            if not columns:
                raise UsageError("that is not a question; only SELECT and its like are run")
            yield Found(columns, iter(cursor))
    except (module.Error, module.Warning) as error:
        raise UsageError(_file_fault(str(error), seconds)) from None


def _open_file(module: Any, path: Path) -> Any:
    """Open a file for reading only; in a folder that cannot be written there is no log to share."""
    name = quote(str(path.resolve()))
    connection = module.connect(f"file:{name}?mode=ro", uri=True)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except module.OperationalError:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        connection = module.connect(f"file:{name}?mode=ro&immutable=1", uri=True)
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _authorizer(module: Any) -> Any:
    reading = {module.SQLITE_SELECT, module.SQLITE_READ, module.SQLITE_RECURSIVE}

    def allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        allowed = (
            action in reading
            or (action == module.SQLITE_FUNCTION and second != "load_extension")
            or (action == module.SQLITE_PRAGMA and first in READING_PRAGMAS)
        )
        return int(module.SQLITE_OK if allowed else module.SQLITE_DENY)

    return allow


def _file_fault(words: str, seconds: float) -> str:
    lowered = words.lower()
    if lowered == "interrupted":
        return f"the query took longer than {seconds:g} s and was stopped; narrow it, or --seconds"
    if "authoriz" in lowered or "prohibited" in lowered or "readonly" in lowered:
        return f"only reading is allowed here ({words})"
    if "one statement" in lowered:
        return "one statement at a time"
    if "no such table" in lowered or "no such column" in lowered:
        return f"{words}; what there is: annoy sql"
    if "binding" in lowered:
        return f"{words.rstrip('.')}; give its value with -p name=value"
    return f"SQL: {words}"


# A server ------------------------------------------------------------------------------------


@contextmanager
def _ask_server(
    store: Database, query: str, values: dict[str, Value], seconds: float
) -> Iterator[Found]:
    if (reaching := _REACHING.search(query)) or re.search(r"\bU&\s*[\"']", query, re.IGNORECASE):
        word = reaching[0] if reaching else "U&"
        raise UsageError(f"only reading is allowed here ({word} is refused)")
    try:
        with store.read_engine.connect() as connection, connection.begin():
            _lay_down_rights(connection, seconds)
            _refuse_acting(connection, query)
            streaming = connection.execution_options(stream_results=True, max_row_buffer=_FETCHED)
            with streaming.execute(_statement(query, values), values) as result:
                yield Found(tuple(result.keys()), (tuple(map(_plain, row)) for row in result))
    except (DBAPIError, InvalidRequestError, StatementError) as error:
        raise UsageError(_server_fault(error, seconds)) from None


def _lay_down_rights(connection: Connection, seconds: float) -> None:
    connection.execute(text("SET TRANSACTION READ ONLY"))
    connection.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))
    superuser = text(
        "SELECT current_setting('is_superuser') = 'on' AND EXISTS "
        "(SELECT 1 FROM pg_roles WHERE rolname = 'pg_read_all_data')"
    )
    if connection.scalar(superuser):
        connection.execute(text("SET LOCAL ROLE pg_read_all_data"))


def _refuse_acting(connection: Connection, query: str) -> None:
    """Refuse a query with a word that names a function which acts, be it within a text."""
    acting = text(
        "SELECT proname FROM pg_catalog.pg_proc WHERE provolatile = 'v' AND prokind <> 'a' "
        "AND proname = ANY(:words) AND proname <> ALL(:harmless) ORDER BY proname LIMIT 1"
    )
    words = sorted(set(re.findall(r"\w+", query.lower())))
    name = connection.scalar(acting, {"words": words, "harmless": _HARMLESS})
    if name is not None:
        raise UsageError(f"only reading is allowed here ({name} is refused)")


def _statement(query: str, values: Mapping[str, Value]) -> Any:
    """The query with only those `:name`s as parameters that were given a value."""
    return text(_NAME.sub(lambda m: m[0] if m[1] in values else f"\\{m[0]}", query))


def _server_fault(error: Exception, seconds: float) -> str:
    cause = getattr(error, "orig", None)
    words = (str(cause or error).strip().splitlines() or ["unknown error"])[0]
    state = getattr(cause, "sqlstate", None)
    if state == "57014":
        return f"the query took longer than {seconds:g} s and was stopped; narrow it, or --seconds"
    if state == "25006" or (state == "42501" and "denied" in words):
        return f"only reading is allowed here ({words})"
    if state in {"42P01", "42703"}:
        return f"{words}; what there is: annoy sql"
    if "data-modifying" in words:
        return f"only reading is allowed here ({words})"
    if state == "42601":
        return f"SQL: {words}; one SELECT at a time, and nothing else"
    return f"SQL: {words}"


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


__all__: Sequence[str] = ["Described", "Found", "describe", "run_query"]
