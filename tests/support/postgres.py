"""PostgreSQL databases for tests: made by template, emptied after a test, and taken again.

To empty one takes a tenth of what it takes to make one. Only what is as it was made, but for its
rows, is taken again: a database with another shape, with statistics, with a row of the migration
changed, grown, or with somebody still connected is dropped.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from annoy_store.db.engine import Database, connect
from annoy_store.db.migrate import open_store, upgrade
from annoy_store.db.tables import metadata, teachers

MEMORY, ROOM = Path("/dev/shm"), 2_000_000_000  # where a server lies best, with so many bytes free
MOST_GROWTH = 4_000_000  # bytes
LEAVE_SECONDS = 0.5  # for connections that were closed just now
SHAPE = """
    SELECT md5(string_agg(x, '|' ORDER BY x)) FROM (
        SELECT concat_ws(' ', c.oid::regclass, c.relkind, c.reloptions, c.relacl, a.attname,
            a.atttypid::regtype, a.attnotnull, pg_get_expr(d.adbin, d.adrelid)) AS x
        FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT definition FROM pg_views WHERE schemaname = 'public'
        UNION ALL SELECT concat_ws(' ', conrelid::regclass, pg_get_constraintdef(oid))
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT concat_ws(' ', sequencename, last_value, increment_by) FROM pg_sequences
        UNION ALL SELECT concat_ws(' ', tablename, attname) FROM pg_stats
            WHERE schemaname = 'public'
        UNION ALL SELECT concat_ws(' ', 'row', t) FROM teachers t
        UNION ALL SELECT concat_ws(' ', 'row', v) FROM alembic_version v
    ) all_of_it"""
OTHERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
EMPTY = (
    "".join(
        f'DELETE FROM "{table.name}"{" WHERE id <> 0" if table is teachers else ""};'
        for table in reversed(metadata.sorted_tables)
    )
    + """
    SELECT setval(
        (quote_ident(schemaname) || '.' || quote_ident(sequencename))::regclass, start_value, false)
    FROM pg_sequences WHERE last_value IS NOT NULL"""
)


@dataclass
class Databases:
    """Migrated databases on one server."""

    server: str
    free: list[Database] = field(default_factory=list)
    _template: str = ""
    _made: tuple[str, int] = ("", 0)  # shape and size of one that nobody has used

    def take(self) -> Database:
        """A store with no rows but the migration's."""
        return self.free.pop() if self.free else self._make()

    def give_back(self, store: Database) -> None:
        """Empty a store for the next test, or drop it."""
        store.close()
        clean = self._is_as_made(store)
        store.close()  # a connection that is kept may be dead when it is taken: servers crash here
        if clean:
            self.free.append(store)
        else:
            self._drop(store)

    def close(self) -> None:
        """Drop them all."""
        for store in self.free:
            self._drop(store)
        if self._template:
            administer(self.server, f'DROP DATABASE "{self._template}"')

    def _make(self) -> Database:
        if not self._template:
            self._template = self._migrate()
        name = f"annoy_{uuid.uuid4().hex[:12]}"
        administer(self.server, f'CREATE DATABASE "{name}" TEMPLATE "{self._template}"')
        return open_store(at(self.server, name))

    def _migrate(self) -> str:
        name = f"annoy_template_{uuid.uuid4().hex[:12]}"
        administer(self.server, f'CREATE DATABASE "{name}"')
        store = connect(at(self.server, name))
        upgrade(store)
        with store.write() as connection:
            self._made = _shape(connection), _size(connection)
        store.close()
        return name

    def _is_as_made(self, store: Database) -> bool:
        """Empty a store; false when something is left of the test."""
        try:
            with store.write() as connection:
                if not _is_alone(connection) or _size(connection) > self._made[1] + MOST_GROWTH:
                    return False
                connection.exec_driver_sql(EMPTY)
                return _shape(connection) == self._made[0]
        except DBAPIError:
            return False

    def _drop(self, store: Database) -> None:
        administer(self.server, f'DROP DATABASE "{store.url.database}" WITH (FORCE)')


def _shape(connection: Connection) -> str:
    return str(connection.scalar(text(SHAPE)))


def _size(connection: Connection) -> int:
    return connection.scalar(text("SELECT pg_database_size(current_database())")) or 0


def _is_alone(connection: Connection) -> bool:
    until = time.monotonic() + LEAVE_SECONDS
    while connection.scalar(text(OTHERS)):
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
    return True


def new_server_folder() -> Path:
    """A new folder for a server's files: thousands that come and go, which disks are slow at."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    return Path(tempfile.mkdtemp(prefix="annoy-pg-", dir=MEMORY if roomy else None))


def at(server: str, name: str) -> str:
    """The URL of a database on a server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def administer(server: str, statement: str) -> None:
    """Run a statement that takes no transaction."""
    engine = create_engine(
        make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
