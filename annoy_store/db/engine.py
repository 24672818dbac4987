"""A store as a pair of engines: how to reach it, and how its transactions begin.

Decisions
- SQLite: WAL, one writer at a time. Writers of all processes take a file lock (`file_lock.py`)
  before BEGIN IMMEDIATE. That is fair where busy polling is not, keeps the WAL at its checkpoint
  size, and, as checkpoints run inside commits, it also removes the condition of the WAL-reset bug
  of SQLite < 3.51.3 among our own processes. The newest library is preferred all the same:
  `pysqlite3` when Python's own is older than that.
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
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from sqlalchemy import BigInteger, Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.ext.compiler import compiles

from annoy_store.db.file_lock import FileLock
from annoy_store.errors import UsageError

T = TypeVar("T")

SAFE_SQLITE = (3, 51, 3)
RETRY_SECONDS = 60.0
_PLANNER = ("bitmapscan", "seqscan", "sort", "hashjoin", "mergejoin")
_PRAGMAS = (
    "busy_timeout = 30000",
    "page_size = 8192",
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "foreign_keys = ON",
    "cache_size = -65536",
    "temp_store = MEMORY",
)
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
# serialisation failure, deadlock, server shut down, crashed, or starting; connection trouble
_TRANSIENT_STATES = ("40001", "40P01", "57P01", "57P02", "57P03", "08")


@compiles(BigInteger, "sqlite")
def _sqlite_integer(*_: Any, **__: Any) -> str:
    """SQLite makes only a column spelled INTEGER the key of its rows."""
    return "INTEGER"


def sqlite_module() -> ModuleType:
    """Return the newest SQLite library that is installed: Python's own, or `pysqlite3`."""
    if sqlite3.sqlite_version_info >= SAFE_SQLITE:
        return sqlite3
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        return sqlite3
    return cast(ModuleType, dbapi2)


@dataclass(frozen=True)
class Database:
    """An open store: `read()` is a snapshot, `write()` a transaction that may write.

    Attributes:
        url: the URL of the store.
        read_engine: SQLAlchemy engine whose transactions read.
        write_engine: SQLAlchemy engine whose transactions write.
    """

    url: URL
    read_engine: Engine
    write_engine: Engine
    _file_lock: FileLock | None = field(default=None, repr=False)

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is a SQLite file."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite store; None for PostgreSQL."""
        return Path(self.url.database or "") if self.is_sqlite else None

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

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
        """Wait for the file lock of a SQLite store and hold it; PostgreSQL needs none."""
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
        url: `sqlite:///FILE` or `postgresql://HOST/DATABASE`.

    Raises:
        UsageError: not such a URL, or the driver of PostgreSQL is missing.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(
            f"not a store URL: {url!r}; use sqlite:///FILE or postgresql://HOST/DATABASE"
        ) from error
    if backend == "sqlite":
        return _connect_sqlite(parsed)
    if backend == "postgresql":
        return _connect_postgres(parsed)
    raise UsageError(
        f"{backend} is not supported; use sqlite:///FILE or postgresql://HOST/DATABASE"
    )


def _connect_sqlite(url: URL) -> Database:
    if not url.database or url.database == ":memory:":
        raise UsageError("a SQLite store must be a file: use sqlite:///FILE")
    reading, writing = _sqlite_engine(url, "BEGIN"), _sqlite_engine(url, "BEGIN IMMEDIATE")
    return Database(url, reading, writing, FileLock(Path(url.database)))


def _sqlite_engine(url: URL, begin: str) -> Engine:
    """An engine whose transactions begin with `begin`; an event would slow down every statement."""
    engine = create_engine(url.set(drivername="sqlite+pysqlite"), module=sqlite_module())
    event.listen(engine, "connect", _prepare_sqlite)
    engine.dialect.do_begin = lambda connection: connection.execute(begin)  # type: ignore
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _connect_postgres(url: URL) -> Database:
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
    return Database(url, reading, writing)


def _connect_args(url: URL, session: Mapping[str, str]) -> dict[str, str]:
    """Connection arguments with session settings; those of the URL come last and win."""
    ours = {name: value for name, value in _CLIENT_OPTIONS.items() if name not in url.query}
    settings = [f"-c {name}={value}" for name, value in session.items()]
    given = url.query.get("options", ())
    settings += [given] if isinstance(given, str) else given
    return {**ours, "options": " ".join(settings)}


def sqlite_library() -> str:
    """Return the SQLite library in use and whether it is recent enough, for `annoy doctor`."""
    module = sqlite_module()
    version = module.sqlite_version
    safe = tuple(int(p) for p in version.split(".")) >= SAFE_SQLITE
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    return f"{version} ({module.__name__}{'' if safe else ', older than 3.51.3'}, {python})"
