"""A store as a pair of engines: how to reach it, and how its transactions begin.

Decisions
- SQLite: WAL, one writer at a time. Writers of all processes take a file lock (`file_lock.py`)
  before BEGIN IMMEDIATE. That is fair where busy polling is not, keeps the WAL at its checkpoint
  size, and, as checkpoints run inside commits, it also removes the condition of the WAL-reset bug
  of SQLite < 3.51.3 among our own processes.
- SQLAlchemy sends no BEGIN of its own on SQLite; without one two SELECTs see different data.
  So the driver is in autocommit mode and the dialect sends BEGIN or BEGIN IMMEDIATE.
- synchronous=NORMAL: kill -9 loses nothing; power loss may lose the last commits, never half.
- PostgreSQL: reads are REPEATABLE READ snapshots; writes go through connections whose planner may
  not choose bitmap, hash or sequential plans: right after a bulk load there are no statistics, and
  one wrong plan makes a claim 200 times slower.
- A write transaction that loses its server (restart, deadlock) is retried for a minute: `transact`.
- A connection that is cut reports nothing. The client gives up a silent server after ten seconds,
  so a worker reconnects within its lease; the server gives up the client after twenty, so the locks
  of its transaction are released when the lease has expired. The store's URL may set other values.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.compiler import compiles

from annoy_store.db.columns import apply_postgresql_options
from annoy_store.db.file_lock import FileLock
from annoy_store.db.sqlite_file import SqliteFile, StoreFileLost, sqlite_module
from annoy_store.db.store_url import parse_store_url
from annoy_store.errors import StoreError, UsageError, mask_secrets

T = TypeVar("T")

RETRY_SECONDS = 60.0
_PLANNER = ("bitmapscan", "seqscan", "sort", "hashjoin", "mergejoin")
_CLIENT_OPTIONS = {
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_SERVER_SETTINGS = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "20000",
}
# serialisation failure, deadlock; server shut down, crashed, starting; cancelled or timed out while
# idle; no connection left; connection trouble (PostgreSQL, Appendix A: error codes)
_TRANSIENT_STATES = (
    "40001",
    "40P01",
    "57P01",
    "57P02",
    "57P03",
    "57P05",
    "57014",
    "25P03",
    "25P04",
    "55P03",
    "53300",
    "08",
)


@compiles(BigInteger, "sqlite")
def _sqlite_integer(*_: Any, **__: Any) -> str:
    """SQLite makes only a column spelled INTEGER the key of its rows."""
    return "INTEGER"


@dataclass(frozen=True)
class Database:
    """An open store: `read()` is a snapshot, `write()` a transaction that may write.

    Attributes:
        url: the URL of the store.
        read_engine: SQLAlchemy engine whose transactions read.
        write_engine: SQLAlchemy engine whose transactions write.
        file: the file of a SQLite store; None for PostgreSQL.
    """

    url: URL
    read_engine: Engine
    write_engine: Engine
    file: SqliteFile | None = field(default=None, repr=False)
    _file_lock: FileLock | None = field(default=None, repr=False)

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is a SQLite file."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite store; None for PostgreSQL."""
        return Path(self.url.database or "") if self.is_sqlite else None

    @property
    def name(self) -> str:
        """The name of the store's file or database."""
        return self.path.name if self.path else self.url.database or ""

    def __str__(self) -> str:
        return mask_secrets(self.url.render_as_string(hide_password=True))

    @property
    def is_read_only(self) -> bool:
        """Whether the store is a SQLite file that this process cannot write."""
        return self.file is not None and self.file.is_read_only

    @property
    def is_lost(self) -> bool:
        """Whether the file of the store was deleted, moved or replaced since it was opened."""
        return self.file is not None and not self.file.is_current

    def check_file(self) -> None:
        """Check that the file of the store is still there; save what was written if it is not.

        Raises:
            StoreFileLost: it was deleted, moved or replaced; the message says where the content
                that this process wrote is saved.
        """
        pool: Any = self.write_engine.pool
        if self.file is None or self.file.is_current or not pool.checkedin():
            return
        with self.write_engine.connect() as connection:
            saved = self.file.save(connection.connection.dbapi_connection)
        self.write_engine.dispose()
        raise StoreFileLost(
            f"{self.file.lost_message}; what this command had of it is saved in {saved}: "
            f"move that back, or join it with: annoy merge {saved}"
        )

    def is_same(self, other: Database) -> bool:
        """Return whether another is the same store, under whatever path or spelling."""
        if self.path is not None and other.path is not None:
            return self.path.resolve() == other.path.resolve()
        return self.url == other.url

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a consistent snapshot; keep it short, because a SQLite reader delays checkpoints."""
        with self.read_engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction, committed at the end, rolled back on any error."""
        with self.write_lock(), self.write_engine.begin() as connection:
            yield connection

    def transact(
        self, work: Callable[[Connection], T], timeout_seconds: float = RETRY_SECONDS
    ) -> T:
        """Run a function in a write transaction, and again when the transaction is lost.

        Args:
            work: the function; it may run several times, and a commit whose answer was lost may
                have happened.
            timeout_seconds: for how long a lost transaction is begun again.

        Returns:
            What `work` returned.

        Raises:
            sqlalchemy.exc.DBAPIError: an error that a retry does not help, or still there at the
                time limit.
        """
        return retry_transient(lambda: self._transact_once(work), timeout_seconds)

    def _transact_once(self, work: Callable[[Connection], T]) -> T:
        with self.write() as connection:
            return work(connection)

    def write_lock(self) -> AbstractContextManager[None]:
        """Wait for the file lock of a SQLite store and hold it; PostgreSQL needs none.

        Raises:
            StoreError: the file is read-only.
        """
        if self.is_read_only:
            raise StoreError(f"{self} is read-only: copy it to a folder that can be written")
        return self._file_lock.acquire() if self._file_lock else nullcontext()

    def close(self) -> None:
        """Close all connections."""
        self.read_engine.dispose()
        self.write_engine.dispose()


def retry_transient(work: Callable[[], T], timeout_seconds: float = RETRY_SECONDS) -> T:
    """Return what `work` returns, retrying transient errors of the database.

    Args:
        work: the function; it may run several times.
        timeout_seconds: for how long it is retried, with pauses of 0.02 s that double up to 2 s.

    Raises:
        sqlalchemy.exc.DBAPIError: an error that a retry does not help, or still there at the time
            limit.
    """
    until, pause = time.monotonic() + timeout_seconds, 0.02
    while True:
        try:
            return work()
        except DBAPIError as error:
            if not is_transient(error) or time.monotonic() + pause > until:
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(2 * pause, 2.0)


def is_transient(error: BaseException) -> bool:
    """Return whether an error is a deadlock, a serialisation failure or a lost connection."""
    if not isinstance(error, DBAPIError):
        return False
    if "sqlite" in type(error.orig).__module__:
        return "is locked" in str(error.orig)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return error.connection_invalidated or isinstance(error, OperationalError)
    return str(state).startswith(_TRANSIENT_STATES)


# Connecting ----------------------------------------------------------------------------------


def connect(url: str) -> Database:
    """Return the store at a URL, without connecting yet.

    Args:
        url: `sqlite:///FILE`, the path of a SQLite file, or `postgresql://HOST/DATABASE`.

    Raises:
        UsageError: not such a URL, or the driver of PostgreSQL is missing.
    """
    parsed = parse_store_url(url)
    return (_connect_sqlite if parsed.get_backend_name() == "sqlite" else _connect_postgres)(parsed)


def _connect_sqlite(url: URL) -> Database:
    file = SqliteFile(Path(url.database or ""))
    reading, writing = (
        _sqlite_engine(url, file, "BEGIN"),
        _sqlite_engine(url, file, "BEGIN IMMEDIATE"),
    )
    return Database(url, reading, writing, file, FileLock(file.path))


def _sqlite_engine(url: URL, file: SqliteFile, begin: str) -> Engine:
    """An engine whose transactions begin with `begin`; an event would slow down every statement."""
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"), module=sqlite_module(), creator=file.connect
    )
    engine.dialect.do_begin = lambda connection: connection.execute(begin)  # type: ignore
    return engine


def _connect_postgres(url: URL) -> Database:
    apply_postgresql_options()
    url = url.set(drivername="postgresql+psycopg")
    planner = {f"enable_{word}": "off" for word in _PLANNER}
    try:
        reading = create_engine(
            url,
            isolation_level="REPEATABLE READ",
            pool_pre_ping=True,
            connect_args=_connect_args(url, _SERVER_SETTINGS),
        )
        writing = create_engine(
            url,
            isolation_level="READ COMMITTED",
            connect_args=_connect_args(url, _SERVER_SETTINGS | planner),
        )
    except ImportError as error:
        raise UsageError(
            "PostgreSQL needs a driver: pip install 'annoy-store[postgres]'"
        ) from error
    for engine in (reading, writing):
        event.listen(engine, "connect", _check_encoding, insert=True)
        event.listen(engine, "connect", _load_plain_numbers, insert=True)
    return Database(url, reading, writing)


def _load_plain_numbers(connection: Any, _: Any) -> None:
    """Read `numeric` as SQLite does, as int or float: the sum of a bigint column is a numeric.

    No column of a store is numeric, so a Decimal could only come from an aggregate, and fail where
    it meets a float.
    """
    from psycopg.adapt import Buffer, Loader

    class PlainNumber(Loader):
        def load(self, data: Buffer) -> int | float:
            digits = bytes(data)
            return int(digits) if digits.lstrip(b"-").isdigit() else float(digits)

    connection.adapters.register_loader("numeric", PlainNumber)


def _check_encoding(connection: Any, _: Any) -> None:
    """Refuse a database that cannot hold every text.

    Raises:
        StoreError: its encoding is not UTF-8.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        name = connection.info.dbname
        connection.close()
        raise StoreError(
            f"database {name} has the encoding {encoding}, a store needs UTF8; make one with: "
            "createdb -E UTF8 -T template0 NAME"
        )


def _connect_args(url: URL, session: Mapping[str, str]) -> dict[str, str]:
    """Connection arguments with session settings; those of the URL come last and win."""
    ours = {name: value for name, value in _CLIENT_OPTIONS.items() if name not in url.query}
    settings = [f"-c {name}={value}" for name, value in session.items()]
    given = url.query.get("options", ())
    settings += [given] if isinstance(given, str) else given
    return {**ours, "options": " ".join(settings)}
