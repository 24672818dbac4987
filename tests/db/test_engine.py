"""Connecting to a server: its encoding, and the errors after which a transaction is begun again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from annoy_store.db import migrate
from annoy_store.db.engine import Database, connect, is_transient
from annoy_store.errors import StoreError
from tests.support.postgres import administer


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def other_encoding(request: pytest.FixtureRequest, postgres_store: Database) -> Iterator[str]:
    """The URL of a database whose encoding is not UTF-8."""
    server = postgres_store.url.set(database="postgres").render_as_string(hide_password=False)
    name = f"encoded_{request.param.lower()}_{time.time_ns()}"
    administer(
        server,
        f"CREATE DATABASE {name} ENCODING '{request.param}' LC_COLLATE 'C' LC_CTYPE 'C' "
        "TEMPLATE template0",
    )
    yield postgres_store.url.set(database=name).render_as_string(hide_password=False)
    administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def test_connect_refuses_a_database_that_cannot_hold_every_text(other_encoding: str) -> None:
    for use in (migrate.upgrade, migrate.check_schema, migrate.revision):
        store = connect(other_encoding)
        with pytest.raises(StoreError, match=r"has the encoding .*createdb -E UTF8 -T template0"):
            use(store)
        store.close()


def test_transact_begins_again_after_an_idle_transaction_was_ended(
    postgres_store: Database,
) -> None:
    tries: list[int] = []

    def work(connection: Any) -> int:
        tries.append(1)
        if len(tries) == 1:
            limit = "SET LOCAL idle_in_transaction_session_timeout = '20ms'"
            connection.execute(text(limit))
            time.sleep(0.1)
        return int(connection.scalar(text("SELECT 1")))

    assert postgres_store.transact(work) == 1
    assert len(tries) == 2


def test_transact_begins_again_after_an_idle_session_was_ended(postgres_store: Database) -> None:
    def limit(connection: Any) -> None:
        connection.execute(text("SET SESSION idle_session_timeout = '20ms'"))

    postgres_store.transact(limit)
    time.sleep(0.1)
    assert postgres_store.transact(lambda c: c.scalar(text("SELECT 1"))) == 1


def test_transact_begins_again_after_a_cancelled_statement(postgres_store: Database) -> None:
    tries: list[int] = []

    def work(connection: Any) -> int:
        tries.append(1)
        if len(tries) == 1:
            connection.execute(text("SET LOCAL statement_timeout = 20"))
            connection.execute(text("SELECT pg_sleep(5)"))
        return int(connection.scalar(text("SELECT 1")))

    assert postgres_store.transact(work) == 1
    assert len(tries) == 2


def test_is_transient_knows_a_server_without_a_connection_left(postgres_store: Database) -> None:
    server = postgres_store.url.set(database="postgres").render_as_string(hide_password=False)
    role = f"limited_{time.time_ns()}"
    administer(server, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    limited = connect(postgres_store.url.set(username=role).render_as_string(hide_password=False))
    try:
        with pytest.raises(DBAPIError) as caught, limited.read():
            pass
        assert "too many connections" in str(caught.value)
        assert is_transient(caught.value)
    finally:
        limited.close()
        administer(server, f"DROP ROLE {role}")


def test_database_names_no_secret(tmp_path: Path) -> None:
    shown = str(connect("postgresql://h/x?user=u&password=hunter2&sslpassword=hunter2"))
    assert "hunter2" not in shown
