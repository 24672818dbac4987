"""Schema migrations: which revision a store has, and how it is upgraded.

Decisions
- A new store is made by the same migrations that upgrade an old one: there is one path.
- A store of another revision is rejected with the command that helps, never upgraded silently.
- One migration runs at a time. On SQLite foreign keys are off meanwhile, because recreating a table
  with them on deletes the rows that refer to it; they are checked at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import (
    Connection,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError

from annoy_store.db.engine import Database, connect
from annoy_store.db.tables import unfinished_copies
from annoy_store.errors import StoreError

_MIGRATION_LOCK = 7305110  # the advisory lock of migrators on PostgreSQL


def migrations_folder() -> Path:
    """Return the folder of the migrations: inside the installed package, or beside it."""
    package = Path(__file__).parent.parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def newest_revision() -> str:
    """Return the revision that this code needs: the highest numbered migration."""
    names = sorted(path.name for path in (migrations_folder() / "versions").glob("[0-9]*.py"))
    return names[-1].split("_")[0]


def revision(store: Database) -> str | None:
    """Return the revision of a store; None when it has no schema of ours."""
    with store.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return cast(
            "str | None", connection.scalar(text("SELECT version_num FROM alembic_version"))
        )


def upgrade(store: Database, target: str = "head") -> None:
    """Upgrade the schema of a store, in one transaction per migration.

    Args:
        store: the store.
        target: a revision, or `head` for the newest.

    Raises:
        StoreError: the store cannot be written, or a migration left a broken reference.
    """
    _alembic(store, "upgrade", target)


def downgrade(store: Database, target: str) -> None:
    """Downgrade the schema of a store to a revision; raises as `upgrade` does."""
    _alembic(store, "downgrade", target)


def _alembic(store: Database, command: str, target: str) -> None:
    from alembic import command as alembic_commands
    from alembic.config import Config

    if store.path is not None and not store.path.parent.is_dir():
        raise StoreError(f"the folder {store.path.parent} does not exist; make it first")
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["store"] = store
    try:
        getattr(alembic_commands, command)(config, target)
    except DBAPIError as error:
        raise store_error(store, error) from error


@contextmanager
def migration_connection(store: Database) -> Iterator[Connection]:
    """Open a connection for migrations: one at a time, foreign keys checked at the end.

    Raises:
        StoreError: a migration left a broken reference.
    """
    if store.file is not None:
        store.file.create()
    with store.write_lock(), store.write_engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection  # a PRAGMA must stand outside BEGIN
        if store.is_sqlite:
            raw.execute("PRAGMA foreign_keys = OFF")
        else:
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
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
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})")
                connection.commit()


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken:
        raise StoreError(f"the migration left a broken reference in table {broken[0]}")


def check_schema(store: Database) -> None:
    """Check that a store has the schema that this code needs.

    Raises:
        StoreError: it has another; the message says which command helps.
    """
    have, want = revision(store), newest_revision()
    if have == want:
        _refuse_unfinished(store)
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


def _refuse_unfinished(store: Database) -> None:
    """Raise an error if a copy into the store was interrupted, or is under way."""
    with store.read() as connection:
        origin = connection.scalar(select(unfinished_copies.c.origin))
    if origin is not None:
        raise StoreError(
            f"{store} is an unfinished copy of {origin}; finish it with: "
            f"annoy copy {origin} {store}"
        )


def store_error(store: Database, error: DBAPIError) -> StoreError:
    """Return an error of the database as one line for the user."""
    lines = str(error.orig).strip().splitlines() or ["unknown error"]
    return StoreError(f"cannot use the store at {store}: {lines[0]}")


def open_store(url: str, *, create: bool = False) -> Database:
    """Open a store.

    Args:
        url: `sqlite:///FILE` or `postgresql://HOST/DATABASE`.
        create: create a SQLite store that does not exist yet.

    Raises:
        StoreError: the store is missing, cannot be reached, or has another schema.
        UsageError: the URL cannot be used.
    """
    store = connect(url)
    missing = store.path is not None and not store.path.exists()
    if missing and not create:
        raise StoreError(f"there is no store at {store}; make one with: annoy init")
    try:
        if missing:
            upgrade(store)
        check_schema(store)
    except BaseException as error:
        store.close()
        if isinstance(error, DBAPIError):
            raise store_error(store, error) from error
        raise
    return store
