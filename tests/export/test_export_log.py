"""The export log: rows of every export, and the way back to their sources."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError, OperationalError

from annoy_store.db.engine import Database
from annoy_store.db.tables import (
    export_rows,
    exports,
    io_pairs,
    retractions,
    turns,
)
from annoy_store.errors import UsageError
from annoy_store.export import export_log
from annoy_store.export.export import export
from annoy_store.export.export_log import published_exports, row_of_file_line
from annoy_store.export.request import ExportRequest
from annoy_store.ingest.takedowns import take_down
from annoy_store.maintenance.check import check
from tests.support import chains


def test_export_log_holds_every_row(store: Database, tmp_path: Path) -> None:
    chains.fill(store)
    report = export(store, ExportRequest("codeio", tmp_path / "out"))
    with store.read() as connection:
        entered = connection.execute(select(exports)).one()
        rows = connection.execute(select(export_rows).order_by(export_rows.c.position)).all()
    assert (entered.id, entered.n_rows) == (report.export_id, 9)
    assert entered.published_at is not None
    assert [row.position for row in rows] == list(range(9))
    assert len({row.chain_id for row in rows}) == 9
    assert all(re.fullmatch("[0-9a-f]{32}", row.digest) for row in rows)


def test_export_log_leads_from_a_row_to_its_source(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ["ant"])
    export(store, ExportRequest("codeio", tmp_path / "1"))
    with store.read() as connection:
        paths = connection.exec_driver_sql(
            "SELECT DISTINCT l.repo, l.path, l.licence FROM export_rows e "
            "JOIN v_lineage l ON l.chain_id = e.chain_id"
        ).all()
        assert [tuple(row) for row in paths] == [("team/ant", "ant.py", "mit")]
        assert connection.scalar(select(func.count()).select_from(retractions)) == 0
        assert connection.scalar(select(func.count()).select_from(turns.join(io_pairs))) == 5


def fail_commits(store: Database) -> None:
    """Let every commit that publishes an export fail, as a database that is out of space does."""
    with store.write() as connection:
        if store.is_sqlite:
            connection.exec_driver_sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
            connection.exec_driver_sql(
                "CREATE TABLE late (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER fail AFTER UPDATE ON exports WHEN NEW.published_at IS NOT NULL "
                "BEGIN INSERT INTO late VALUES (1); END"
            )
        else:
            connection.exec_driver_sql(
                "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'no space left'; END $$"
            )
            connection.exec_driver_sql(
                "CREATE CONSTRAINT TRIGGER fail AFTER UPDATE OF published_at ON exports "
                "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()"
            )


def test_export_log_that_cannot_commit_keeps_no_folder(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ("ant",))
    fail_commits(store)
    with pytest.raises(DBAPIError):
        export(store, ExportRequest("codeio", tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
    with store.read() as connection:
        assert published_exports(connection) == []
    with store.write() as connection:
        on = "" if store.is_sqlite else " ON exports"
        connection.exec_driver_sql(f"DROP TRIGGER fail{on}")
    assert export(store, ExportRequest("codeio", tmp_path / "out")).n_rows == 3
    assert check(store) == []


def test_export_log_keeps_a_folder_whose_commit_happened(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to a commit may be lost."""
    chains.fill(sqlite_store, ("ant",))
    real = Database.write

    @contextmanager
    def losing(self: Database) -> Iterator[Connection]:
        with real(self) as connection:
            before = published_exports(connection)
            yield connection
            changed = published_exports(connection) != before
        if changed:
            raise OperationalError("COMMIT", {}, Exception("connection lost"))

    monkeypatch.setattr(Database, "write", losing)
    with pytest.raises(OperationalError):
        export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    assert (tmp_path / "out" / "export.json").exists()
    with sqlite_store.read() as connection:
        assert [row["n_rows"] for row in published_exports(connection)] == [3]


KILLED = """
import os, signal, sys
from pathlib import Path
from annoy_store.db.migrate import open_store
from annoy_store.export import export as exporting
from annoy_store.export.request import ExportRequest

def publish(staging, folder):
    real(staging, folder)
    os.kill(os.getpid(), signal.SIGKILL)

real, exporting.publish_folder = exporting.publish_folder, publish
exporting.export(open_store(sys.argv[1]), ExportRequest("codeio", Path(sys.argv[2])))
"""


def test_export_log_records_what_a_killed_process_renamed(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ("ant",))
    url, folder = store.url.render_as_string(hide_password=False), tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", KILLED, url, str(folder)])
    assert killed.returncode == -signal.SIGKILL
    assert (folder / "export.json").exists()
    with store.read() as connection:
        assert published_exports(connection) == []
    chains.fill(store, ("bee",))
    more = export(store, ExportRequest("codeio", tmp_path / "more"))
    assert more.n_rows == 6
    with store.read() as connection:
        assert [row["n_rows"] for row in published_exports(connection)] == [6, 3]
        assert row_of_file_line(connection, folder / "train.jsonl", "1")
    assert export(store, ExportRequest("codeio", tmp_path / "third")).already_published


def test_export_log_refuses_what_was_taken_down_at_the_last_moment(
    store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains.fill(store, ("ant", "bee"))
    real = export_log._insert_rows

    def take_down_first(*arguments: Any) -> None:
        real(*arguments)
        take_down(arguments[0], "repo", "team/ant", "asked")

    monkeypatch.setattr(export_log, "_insert_rows", take_down_first)
    with pytest.raises(UsageError, match="taken down"):
        export(store, ExportRequest("codeio", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
