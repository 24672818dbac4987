"""Runs the migrations on a store: the one that `annoy` passes, else the one of the environment.

Views are derived: they are dropped before the migrations, those of older releases too, and created
again at the newest schema.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, inspect, text

from annoy_store.db.engine import Database, connect
from annoy_store.db.migrate import migration_connection, newest_revision
from annoy_store.db.tables import metadata
from annoy_store.db.views import create_views, drop_views


def _store() -> Database:
    passed = context.config.attributes.get("store")
    if isinstance(passed, Database):
        return passed
    return connect(os.environ.get("ANNOY_STORE_URL", "sqlite:///annoy.db"))


def _drop_old_views(connection: Connection) -> None:
    drop_views(connection)
    for name in inspect(connection).get_view_names():
        if name.startswith("v_"):
            connection.execute(text(f'DROP VIEW "{name}"'))


def _run() -> None:
    with migration_connection(_store()) as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=True,
            compare_type=True,
            compare_server_default=True,
        )
        with context.begin_transaction():
            _drop_old_views(connection)
            context.run_migrations()
            if newest_revision() in context.get_context().get_current_heads():
                create_views(connection)


_run()
