"""Migrations give the schema of tables.py, on both databases, and keep rows up and down."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, inspect, select, text
from sqlalchemy.engine import make_url

from annoy_store.db import migrate
from annoy_store.db.engine import Database, connect
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import downgrade, newest_revision, open_store, revision, upgrade
from annoy_store.db.tables import metadata, sources
from annoy_store.db.views import VIEWS
from annoy_store.errors import StoreError
from tests.support.factories import origin, source

ROOT = Path(__file__).parents[2]
NEWEST = newest_revision()
BATCH = f"""
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{NEWEST}"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("sources", sa.Column("stars", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("origins") as batch:
        batch.alter_column("repo", new_column_name="repository")


def downgrade():
    with op.batch_alter_table("origins") as batch:
        batch.alter_column("repository", new_column_name="repo")
    op.drop_column("sources", "stars")
"""


def described(connection: Connection) -> dict[str, Any]:
    """The structure of a database, whatever way it was made: what `alembic check` leaves out, too."""
    if connection.dialect.name == "sqlite":
        return _described_sqlite(connection)
    return _described_postgres(connection)


def _described_sqlite(connection: Connection) -> dict[str, Any]:
    def ask(query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(query)]

    found: dict[str, Any] = {}
    for name, sql in ask("SELECT name, sql FROM sqlite_master WHERE type = 'table'"):
        if name == "alembic_version" or name.startswith("sqlite_"):
            continue
        # cid, the order of columns, is compared as well
        found[name] = {
            "columns": ask(f"PRAGMA table_xinfo({name})"),
            "keys": sorted(row[2:] for row in ask(f"PRAGMA foreign_key_list({name})")),
            "checks": sorted(
                map(_spaceless, re.findall(r"CONSTRAINT \w+ CHECK [^\n]+?\)(?=,? *\n)", sql))
            ),
            "names": sorted(re.findall(r"CONSTRAINT (\w+)", sql)),
            "without rowid": "WITHOUT ROWID" in sql,
            "indexes": sorted(
                (
                    unique,
                    origin,
                    partial,
                    ask(f"PRAGMA index_xinfo({index})"),
                    _predicate(connection, index),
                )
                for _, index, unique, origin, partial in ask(f"PRAGMA index_list({name})")
            ),
        }
    return found


def _predicate(connection: Connection, index: str) -> str:
    sql = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE name = ?", (index,)
    ).scalar()
    return _spaceless((sql or "").partition(" WHERE ")[2])


def _spaceless(words: str) -> str:
    return re.sub(r"\s+", "", words)


def _described_postgres(connection: Connection) -> dict[str, Any]:
    queries = {
        "columns": """
            SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
                   a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
            LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
            WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0""",
        "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "constraints": """
            SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace""",
        "options": """
            SELECT relname, reloptions::text, obj_description(oid) FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace""",
    }
    return {
        name: sorted(
            tuple(map(str, row))
            for row in connection.exec_driver_sql(query)
            if "alembic_version" not in row
        )
        for name, query in queries.items()
    }


@pytest.fixture
def made_at_once(store: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Database:
    """A database made from tables.py, of the same kind as `store`."""
    if store.is_sqlite:
        (tmp_path / "other.db").touch()
        other = connect(f"sqlite:///{tmp_path}/other.db")
    else:
        name = f"{store.url.database}_other"
        server = create_engine(
            make_url(request.getfixturevalue("postgres_server")).set(
                drivername="postgresql+psycopg"
            ),
            isolation_level="AUTOCOMMIT",
        )
        with server.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        server.dispose()
        other = connect(store.url.set(database=name).render_as_string(hide_password=False))
    with other.write() as connection:
        metadata.create_all(connection)
    return other


def test_migrations_make_the_tables_of_the_code(store: Database, made_at_once: Database) -> None:
    with store.read() as left, made_at_once.read() as right:
        migrated, known = described(left), described(right)
    made_at_once.close()
    for name in known:
        assert migrated[name] == known[name], name
    assert migrated.keys() == known.keys()


def test_schema_comparison_sees_what_alembic_does_not(sqlite_store: Database) -> None:
    with sqlite_store.write() as connection:
        before = described(connection)
        connection.exec_driver_sql("DROP INDEX ix_jobs_pending")
        connection.exec_driver_sql(
            "CREATE INDEX ix_jobs_pending ON jobs (stage, variant_id, priority, subject_id) "
            "WHERE state = 'failed'"
        )
        assert described(connection) != before
    assert before["jobs"]["without rowid"]
    assert before["jobs"]["checks"]
    assert {i[4] for i in before["jobs"]["indexes"]} >= {"state='pending'", "state='claimed'"}


def test_downgrade_to_nothing_and_upgrade_again(store: Database) -> None:
    with store.read() as connection:
        before = described(connection)
    downgrade(store, "base")
    assert revision(store) is None
    with pytest.raises(StoreError, match="annoy --store"):
        open_store(store.url.render_as_string(hide_password=False))
    upgrade(store)
    with store.read() as connection:
        assert described(connection) == before
        for view in VIEWS:
            connection.execute(text(f"SELECT * FROM {view.name}")).all()
        assert connection.scalar(text("SELECT backend FROM teachers WHERE id = 0")) == "any"


@pytest.fixture
def one_more(store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with one migration more than ours, that changes a table under foreign keys."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.migrations_folder(), folder)
    (folder / "versions" / "9999_one_more.py").write_text(BATCH)
    monkeypatch.setattr(migrate, "migrations_folder", lambda: folder)
    # the views of today do not know the schema of tomorrow
    monkeypatch.setattr("annoy_store.db.views.create_views", lambda connection: None)


@pytest.mark.usefixtures("one_more")
def test_upgrade_and_downgrade_keep_the_rows(store: Database) -> None:
    with store.write() as connection:
        insert_rows(connection, [origin(source("a")), origin(source("b"))])
    for step in (upgrade, lambda s: downgrade(s, NEWEST), upgrade):
        step(store)
        with store.write() as connection:
            kept = connection.execute(
                text(
                    "SELECT content FROM sources JOIN origins ON source_id = sources.id ORDER BY 1"
                )
            )
            assert [row[0] for row in kept] == ["a", "b"]
            if store.is_sqlite:
                assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


@pytest.mark.usefixtures("one_more")
def test_check_schema_rejects_an_older_store(store: Database) -> None:
    url = store.url.render_as_string(hide_password=False)
    with pytest.raises(StoreError, match=rf"schema {NEWEST}.*works with 9999.*annoy init"):
        open_store(url)
    upgrade(store)
    open_store(url).close()


def test_check_schema_rejects_a_newer_store(
    store: Database, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    request.getfixturevalue("one_more")
    upgrade(store)
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"newer than this annoy.*pip install -U annoy-store"):
        open_store(store.url.render_as_string(hide_password=False))


def test_migration_that_fails_changes_nothing(
    store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(migrate.migrations_folder(), folder)
    broken = BATCH.replace(
        "    with op.batch", '    op.execute("SELECT nonsense")\n    with op.batch', 1
    )
    (folder / "versions" / "9999_broken.py").write_text(broken)
    monkeypatch.setattr(migrate, "migrations_folder", lambda: folder)
    with store.read() as connection:
        before = described(connection)
    with pytest.raises(StoreError):
        upgrade(store)
    assert revision(store) == NEWEST
    with store.read() as connection:
        assert described(connection) == before
        connection.execute(text("SELECT * FROM v_funnel"))


def test_upgrade_drops_views_of_an_older_package(store: Database) -> None:
    with store.write() as connection:
        connection.execute(text("CREATE VIEW v_forgotten AS SELECT digest FROM sources"))
    downgrade(store, "base")
    upgrade(store)
    with store.read() as connection:
        assert "v_forgotten" not in inspect(connection).get_view_names()


@pytest.mark.slow
def test_alembic_itself_works_from_a_checkout(tmp_path: Path) -> None:
    environment = {**os.environ, "ANNOY_STORE_URL": f"sqlite:///{tmp_path}/by_alembic.db"}
    for words in (["upgrade", "head"], ["check"], ["downgrade", "base"], ["upgrade", "head"]):
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    store = open_store(environment["ANNOY_STORE_URL"])
    with store.write() as connection:
        insert_rows(connection, [source("a")])
        assert connection.scalar(select(sources.c.content)) == "a"
    store.close()


def test_newest_revision_is_the_last_file() -> None:
    names = sorted(path.stem for path in (ROOT / "migrations" / "versions").glob("0*.py"))
    assert names[-1].startswith(newest_revision())
    assert len(names) == len({name[:4] for name in names})
