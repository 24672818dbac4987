"""The store as a database: engines, transactions, schema; the only file that names a dialect.

Decisions
- SQLite: WAL, one writer at a time. Writers of all processes queue at an advisory lock beside the
  file (`<file>.lock`, flock) before BEGIN IMMEDIATE. It is fair where busy polling is not, keeps
  the WAL at its checkpoint size, and, as checkpoints run inside commits, it also removes the
  condition of the WAL-reset bug of SQLite < 3.51.3 among our own processes. The newest library is
  preferred all the same: `pysqlite3` when Python's own is older than that.
- SQLAlchemy sends no BEGIN of its own on SQLite; without one two SELECTs see different data.
  So the driver is in autocommit mode and the `begin` event says BEGIN or BEGIN IMMEDIATE.
- synchronous=NORMAL: kill -9 loses nothing; power loss may lose the last commits, never half.
- PostgreSQL: reads are REPEATABLE READ snapshots; the ledger writes through connections whose
  planner may not choose bitmap, hash or sequential plans: right after a bulk load there are no
  statistics, and one wrong plan makes a claim 200 times slower.
- A new store is made by the same migrations that upgrade an old one: there is one path.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Double,
    Engine,
    FromClause,
    Integer,
    Select,
    SmallInteger,
    Table,
    any_,
    bindparam,
    create_engine,
    event,
    func,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.ext.compiler import compiles

from annoy_store.errors import StoreError, UsageError

_SAFE_SQLITE = (3, 51, 3)
_PLANNER = "bitmapscan seqscan sort hashjoin mergejoin"
_RETRIED_STATES = {"40001", "40P01"}  # serialisation failure, deadlock
_UNSURE_WINDOW, _UNSURE_MARGIN = 100_000, 1_000


@compiles(BigInteger, "sqlite")
def _sqlite_integer(*_: Any, **__: Any) -> str:
    """SQLite makes only a column spelled INTEGER the key of its rows."""
    return "INTEGER"


def sqlite_module() -> ModuleType:
    """Return the newest SQLite library at hand."""
    if sqlite3.sqlite_version_info >= _SAFE_SQLITE:
        return sqlite3
    try:
        from pysqlite3 import dbapi2  # type: ignore[import-untyped]
    except ImportError:
        return sqlite3
    return cast(ModuleType, dbapi2)


# The store -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Store:
    """An open store. `read()` gives a snapshot, `write()` a transaction that may write."""

    url: URL
    reading: Engine
    writing: Engine
    _local: threading.local = field(default_factory=threading.local, repr=False)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite store."""
        return Path(self.url.database or "") if self.is_sqlite else None

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot; keep it short, a SQLite reader holds up the checkpoint."""
        with self.reading.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction, committed at the end, rolled back on any error."""
        with self._turn(), self.writing.begin() as connection:
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for the advisory lock of a SQLite file; the kernel drops it with the process."""
        if not self.is_sqlite:
            yield
            return
        descriptor = self._lock_descriptor()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _lock_descriptor(self) -> int:
        """One open file per thread and process: flock belongs to the open file, not the thread."""
        held = getattr(self._local, "lock", None)
        if held is None or held[0] != os.getpid():
            opened = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            held = self._local.lock = (os.getpid(), opened)
        return int(held[1])

    def close(self) -> None:
        self.reading.dispose()
        self.writing.dispose()


def open_store(url: str, *, create: bool = False) -> Store:
    """Open the store at `url`; with `create`, make a SQLite store that is not there yet.

    Raises StoreError when it is missing, cannot be reached, or has another schema than ours.
    """
    store = connect(url)
    missing = store.path is not None and not store.path.exists()
    if missing and not create:
        raise StoreError(f"there is no store at {store}; make one with: annoy init")
    try:
        if missing:
            upgrade(store)
        _check_schema(store)
    except DBAPIError as error:
        raise StoreError(_reason(store, error)) from error
    return store


def connect(url: str) -> Store:
    """Return the store at `url` without looking at it. Raises UsageError for a URL we cannot use."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(
            f"not a store URL: {url!r}; say sqlite:///FILE or postgresql://HOST/DATABASE"
        ) from error
    if backend == "sqlite":
        return _connect_sqlite(parsed)
    if backend == "postgresql":
        return _connect_postgres(parsed)
    raise UsageError(
        f"{backend} is not supported; say sqlite:///FILE or postgresql://HOST/DATABASE"
    )


def _connect_sqlite(url: URL) -> Store:
    if not url.database or url.database == ":memory:":
        raise UsageError("a store is a file: say sqlite:///FILE")
    engine = create_engine(url.set(drivername="sqlite+pysqlite"), module=sqlite_module())
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Store(url, engine, engine.execution_options(begin="BEGIN IMMEDIATE"))


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "busy_timeout = 30000",
        "page_size = 8192",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "cache_size = -65536",
        "temp_store = MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(str(options.get("begin", "BEGIN")))


def _connect_postgres(url: URL) -> Store:
    url = url.set(drivername="postgresql+psycopg")
    planner = " ".join(f"-c enable_{word}=off" for word in _PLANNER.split())
    options = f"{url.query.get('options', '')} {planner}".strip()
    try:
        reading = create_engine(url, isolation_level="REPEATABLE READ", pool_pre_ping=True)
        writing = create_engine(url, connect_args={"options": options}, pool_pre_ping=True)
    except ImportError as error:
        raise UsageError(
            "PostgreSQL needs a driver: pip install 'annoy-store[postgres]'"
        ) from error
    return Store(url, reading, writing)


def _reason(store: Store, error: DBAPIError) -> str:
    words = str(error.orig).strip().splitlines() or ["unknown error"]
    return f"cannot use the store at {store}: {words[0]}"


# Schema --------------------------------------------------------------------------------------


def migrations_folder() -> Path:
    """The migrations: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def newest_revision() -> str:
    """The revision that this code works with: the highest numbered migration."""
    names = sorted(path.name for path in (migrations_folder() / "versions").glob("[0-9]*.py"))
    return names[-1].split("_")[0]


def revision(store: Store) -> str | None:
    """The revision of a store; None when it has no schema of ours."""
    with store.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return cast(
            "str | None", connection.scalar(text("SELECT version_num FROM alembic_version"))
        )


def upgrade(store: Store, target: str = "head") -> None:
    """Bring the schema of a store to `target`, in one transaction per migration."""
    _alembic(store, "upgrade", target)


def downgrade(store: Store, target: str) -> None:
    """Take the schema of a store back to `target`."""
    _alembic(store, "downgrade", target)


def _alembic(store: Store, command: str, target: str) -> None:
    from alembic import command as alembic_commands
    from alembic.config import Config

    if store.path is not None and not store.path.parent.is_dir():
        raise StoreError(f"the folder {store.path.parent} does not exist; make it first")
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["store"] = store
    try:
        getattr(alembic_commands, command)(config, target)
    except DBAPIError as error:
        raise StoreError(_reason(store, error)) from error


@contextmanager
def schema_change(store: Store) -> Iterator[Connection]:
    """A connection for migrations: one migrator at a time, foreign keys checked at the end.

    Re-creating a table with foreign keys on deletes the rows that point at it, so they are off.
    """
    with store._turn(), store.writing.connect() as connection:
        raw: Any = connection.connection.dbapi_connection  # a PRAGMA must stand outside BEGIN
        if store.is_sqlite:
            raw.execute("PRAGMA foreign_keys = OFF")
        else:
            connection.exec_driver_sql("SELECT pg_advisory_lock(7305110)")
            connection.commit()
        try:
            yield connection
            if store.is_sqlite:
                _check_foreign_keys(connection)
            connection.commit()
        finally:
            connection.rollback()
            if store.is_sqlite:
                raw.execute("PRAGMA foreign_keys = ON")
            else:
                connection.exec_driver_sql("SELECT pg_advisory_unlock(7305110)")
                connection.commit()


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken:
        raise StoreError(f"the migration left a broken reference in table {broken[0]}")


def _check_schema(store: Store) -> None:
    have, want = revision(store), newest_revision()
    if have == want:
        return
    if have is None:
        raise StoreError(f"{store} holds no store; make one with: annoy --store {store} init")
    if have < want:
        raise StoreError(
            f"the store has schema {have}, this annoy works with {want}; "
            "back it up, then upgrade it with: annoy init"
        )
    raise StoreError(
        f"the store has schema {have}, newer than this annoy ({want}); "
        "upgrade the package with: pip install -U annoy-store"
    )


# What differs between the dialects -----------------------------------------------------------


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def now(connection: Connection) -> float:
    """Seconds since the epoch: the database's clock where machines share it."""
    if _is_sqlite(connection):
        return time.time()
    return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0)


def among(connection: Connection, column: ColumnElement[Any], values: Iterable[Any]) -> Any:
    """`column IN values` for any number of values, as one parameter."""
    listed = list(values)
    if _is_sqlite(connection):
        each = func.json_each(bindparam(None, orjson.dumps(listed).decode())).table_valued("value")
        return column.in_(select(each.c.value))
    return column == any_(bindparam(None, listed, type_=postgresql.ARRAY(column.type)))


def rows_of(
    connection: Connection, types: Mapping[str, type[Any]], rows: Sequence[Sequence[Any]]
) -> FromClause:
    """A FROM clause made of `rows`, with the columns and types named."""
    if _is_sqlite(connection):
        each = func.json_each(bindparam(None, orjson.dumps(rows).decode())).table_valued("value")
        columns = [
            func.json_extract(each.c.value, f"$[{i}]").label(name) for i, name in enumerate(types)
        ]
        return select(*columns).subquery("given")
    arrays = [
        sql_cast(bindparam(None, [row[i] for row in rows]), postgresql.ARRAY(kind))
        for i, kind in enumerate(types.values())
    ]
    return func.unnest(*arrays).table_valued(*types, name="given").render_derived()


def unindexed(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column, but not for choosing an index (SQLite would take the wrong one)."""
    if not _is_sqlite(connection):
        return column
    return literal_column(f"+{column.table.name}.{column.name}", column.type)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert `rows` (equal keys), leaving alone those whose natural key is there already."""
    if not rows:
        return
    if _is_sqlite(connection):
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(), list(rows))
        return
    names = list(rows[0])
    arrays = ", ".join(f"CAST(:{n} AS {_array(table.c[n])})" for n in names)
    columns = ", ".join(f'"{n}"' for n in names)
    statement = f'INSERT INTO "{table.name}" ({columns}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING'
    connection.execute(text(statement), {n: [row[n] for row in rows] for n in names})


def _array(column: Column[Any]) -> str:
    names = {BigInteger: "bigint", SmallInteger: "smallint", Integer: "integer", Double: "float8"}
    return names.get(type(column.type), "text") + "[]"


def insert_from(connection: Connection, table: Table, chosen: Select[Any]) -> int:
    """INSERT .. SELECT, leaving alone what is there; return how many rows are new."""
    dialect = sqlite if _is_sqlite(connection) else postgresql
    names = [column.name for column in chosen.selected_columns]
    statement = dialect.insert(table).from_select(names, chosen).on_conflict_do_nothing()
    return connection.execute(statement).rowcount


def add(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert `rows`, or add their last column to that of the row with the same key."""
    if not rows:
        return
    dialect = sqlite if _is_sqlite(connection) else postgresql
    statement = dialect.insert(table)
    name = list(rows[0])[-1]
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: table.c[name] + statement.excluded[name]},
        ),
        list(rows),
    )


def reserve_ids(connection: Connection, table: Table, n: int) -> list[int]:
    """Return `n` ids that no other row of `table` has or will have."""
    if _is_sqlite(connection):
        last = connection.scalar(select(func.max(table.c.id))) or 0
        return list(range(last + 1, last + 1 + n))
    statement = text("SELECT nextval(pg_get_serial_sequence(:t, 'id')) FROM generate_series(1, :n)")
    return [int(i) for i in connection.scalars(statement, {"t": table.name, "n": n})]


def settled_upto(connection: Connection, column: Column[Any]) -> int:
    """An id up to which every row of the column's table is committed for good.

    SQLite has one writer, so that is the highest id. PostgreSQL hands out ids before commit: rows
    of transactions no older than the oldest running one are left out, and some more for an id
    that was taken before its transaction got a number.
    """
    if _is_sqlite(connection):
        return int(connection.scalar(select(func.max(column))) or 0)
    name, table = column.name, column.table.name
    newest = int(connection.scalar(select(func.max(column))) or 0)
    statement = text(
        f"SELECT min({name}) FROM {table} WHERE {name} > :floor AND xmin::text::bigint >= "
        "pg_snapshot_xmin(pg_current_snapshot())::text::bigint % 4294967296"
    )
    unsure = connection.scalar(statement, {"floor": newest - _UNSURE_WINDOW})
    return max(0, min(newest, unsure or newest) - _UNSURE_MARGIN)


def analyse(connection: Connection, *tables: Table) -> None:
    """Give the planner statistics after a bulk load, where it needs them."""
    if not _is_sqlite(connection):
        for table in tables:
            connection.execute(text(f'ANALYZE "{table.name}"'))


def is_transient(error: BaseException) -> bool:
    """True for a deadlock, a serialisation failure or a lost connection: try again."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    lost = error.connection_invalidated or (isinstance(error, OperationalError) and state is None)
    return state in _RETRIED_STATES or (lost and "sqlite" not in type(error.orig).__module__)


def library() -> str:
    """The SQLite library in use and whether it is safe, for `annoy doctor`."""
    module = sqlite_module()
    version = module.sqlite_version
    safe = tuple(int(p) for p in version.split(".")) >= _SAFE_SQLITE
    return f"{version} ({module.__name__}{'' if safe else ', older than 3.51.3'}, Python {sys.version_info[0]}.{sys.version_info[1]})"


__all__ = [
    "Store", "add", "among", "analyse", "connect", "downgrade", "insert_from", "insert_new", "is_transient", "library",
    "migrations_folder", "newest_revision", "now", "open_store",
    "reserve_ids", "revision", "rows_of", "schema_change", "settled_upto", "sqlite_module", "unindexed", "upgrade",
]  # fmt: skip
