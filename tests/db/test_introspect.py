"""Whether a store can be written by this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url

from annoy_store.db.engine import Database, connect
from annoy_store.db.introspect import can_insert
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import annotation_log


def test_can_insert_into_a_store_of_ours(store: Database) -> None:
    assert can_insert(store, annotation_log)


def test_can_insert_tells_a_file_on_read_only_storage(
    sqlite_store: Database, tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    sqlite_store.close()
    folder = tmp_path / "archive"
    folder.mkdir()
    assert sqlite_store.path is not None
    os.rename(sqlite_store.path, folder / "store.db")
    read_only(folder)
    archived = open_store(f"sqlite:///{folder}/store.db")
    assert not can_insert(archived, annotation_log)
    archived.close()


def test_can_insert_tells_a_user_without_the_privilege(postgres_store: Database) -> None:
    with postgres_store.write() as connection:
        connection.execute(text("CREATE ROLE annoy_reader LOGIN"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO annoy_reader"))
    url = make_url(postgres_store.url).set(drivername="postgresql", username="annoy_reader")
    reader = connect(url.render_as_string(hide_password=False))
    try:
        assert not can_insert(reader, annotation_log)
    finally:
        reader.close()
        with postgres_store.write() as connection:
            connection.execute(text("DROP OWNED BY annoy_reader"))
            connection.execute(text("DROP ROLE annoy_reader"))
