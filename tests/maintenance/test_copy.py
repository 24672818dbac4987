"""Copies are the same store, verified, or nothing at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, create_engine, select, text
from sqlalchemy.engine import make_url

from annoy_store.db.engine import Database, connect
from annoy_store.db.migrate import open_store
from annoy_store.db.sql import insert_new_tuples
from annoy_store.db.tables import (
    responses,
    sources,
    workers,
)
from annoy_store.errors import StoreError
from annoy_store.maintenance.check import check
from annoy_store.maintenance.copy import copy
from annoy_store.maintenance.fingerprint import content_differences
from annoy_store.queue.workers import register_worker
from tests.support.growing_stores import grow, held

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Database], str]:
    """The URL of a new store on the other kind of database."""

    def place_for(store: Database) -> str:
        if not store.is_sqlite:
            return f"sqlite:///{tmp_path}/moved.db"
        server = make_url(request.getfixturevalue("postgres_server"))
        name = f"moved_{tmp_path.name[-20:].lower().replace('-', '_')}"
        engine = create_engine(
            server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        engine.dispose()
        return server.set(database=name).render_as_string(hide_password=False)

    return place_for


def test_copy_is_the_same_store_and_goes_on(
    store: Database, elsewhere: Callable[[Database], str]
) -> None:
    grow(store, 0, 5)
    url = elsewhere(store)
    copied = copy(store, url)
    moved = open_store(url)
    assert copied.rows["sources"] == 5
    assert copied.rows["jobs"] == 35
    assert content_differences(held(store), held(moved)) == {}
    with store.read() as left, moved.read() as right:
        chosen = select(responses).order_by(responses.c.id)
        assert left.execute(chosen).all() == right.execute(chosen).all()
    grow(moved, 5, 3)  # new ids follow the old ones
    assert check(moved) == []
    assert sum(held(moved)["samples"].values()) == 24
    moved.close()


@pytest.mark.slow
def test_copy_there_and_back_is_identical(
    sqlite_store: Database, elsewhere: Callable[[Database], str], tmp_path: Path
) -> None:
    grow(sqlite_store, 0, 3)
    url = elsewhere(sqlite_store)
    there = copy(sqlite_store, url)
    middle = open_store(url)
    back = copy(middle, f"sqlite:///{tmp_path}/back.db")
    middle.close()
    assert back == there
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("back")) == ["back.db"]


def test_copy_needs_an_empty_target(store: Database, elsewhere: Callable[[Database], str]) -> None:
    grow(store, 0, 1)
    url = elsewhere(store)
    copy(store, url)
    with pytest.raises(StoreError, match=r"exists|not empty"):
        copy(store, url)


def test_copy_needs_idle_workers(sqlite_store: Database, tmp_path: Path) -> None:
    with sqlite_store.write() as connection:
        register_worker(connection, ["spread"], 30.0)
    with pytest.raises(StoreError, match="1 workers are active"):
        copy(sqlite_store, f"sqlite:///{tmp_path}/x.db")
    with sqlite_store.write() as connection:
        connection.execute(workers.update().values(alive=0))
    copy(sqlite_store, f"sqlite:///{tmp_path}/x.db")


@pytest.mark.slow
def test_copy_that_fails_leaves_nothing(
    store: Database, elsewhere: Callable[[Database], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(store, 0, 2)
    url = elsewhere(store)

    def fail(*_: object) -> None:
        raise RuntimeError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("annoy_store.maintenance.copy.restart_ids", fail)
        with pytest.raises(RuntimeError):
            copy(store, url)
    target = connect(url)
    if target.path is not None:
        assert [p for p in target.path.parent.iterdir() if "moved" in p.name] == []
    target.close()
    copy(store, url)


def test_copy_detects_a_difference(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(sqlite_store, 0, 2)

    def careless(
        connection: Connection, table: Table, names: tuple[str, ...], rows: list[tuple[Any, ...]]
    ) -> None:
        if table is sources:
            at = names.index("content")
            rows = [(*row[:at], row[at].upper(), *row[at + 1 :]) for row in rows]
        insert_new_tuples(connection, table, names, rows)

    monkeypatch.setattr("annoy_store.maintenance.copy.insert_new_tuples", careless)
    with pytest.raises(StoreError, match="copy of sources differs"):
        copy(sqlite_store, f"sqlite:///{tmp_path}/x.db")
    assert not (tmp_path / "x.db").exists()


KILLED = """
import os, signal, sys
from annoy_store.db.migrate import open_store
from annoy_store.maintenance.copy import copy

def progress(step, *counts):
    if step == f"copying {sys.argv[3]}":
        os.kill(os.getpid(), signal.SIGKILL)

copy(open_store(sys.argv[1]), sys.argv[2], progress)
"""


def url_of(store: Database) -> str:
    return store.url.render_as_string(hide_password=False)


@pytest.mark.parametrize("table", ["sources", "turns"])
def test_copy_that_was_killed_is_no_store_and_starts_anew(
    store: Database, elsewhere: Callable[[Database], str], tmp_path: Path, table: str
) -> None:
    grow(store, 0, 3)
    url = elsewhere(store)
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, url_of(store), url, table])
        assert killed.returncode == -signal.SIGKILL
        with pytest.raises(StoreError, match=r"unfinished copy of .* annoy copy|there is no store"):
            open_store(url)
    copy(store, url)
    moved = open_store(url)
    assert content_differences(held(store), held(moved)) == {}
    assert check(moved) == []
    moved.close()
    assert not [p.name for p in tmp_path.iterdir() if "partial" in p.name or "copying" in p.name]


def test_copy_refuses_a_second_copy_to_the_same_place(
    store: Database, elsewhere: Callable[[Database], str]
) -> None:
    grow(store, 0, 3)
    url = elsewhere(store)
    begun, go_on = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        begun.set()
        assert go_on.wait(60)

    with ThreadPoolExecutor() as threads:
        first = threads.submit(copy, store, url, wait)
        assert begun.wait(60)
        try:
            with pytest.raises(StoreError, match="another"):
                copy(store, url)
        finally:
            go_on.set()
        first.result()
    moved = open_store(url)
    assert content_differences(held(store), held(moved)) == {}
    moved.close()
    with pytest.raises(StoreError, match=r"exists|not empty"):
        copy(store, url)


def test_copy_takes_no_name_that_another_file_got_meanwhile(
    sqlite_store: Database, tmp_path: Path
) -> None:
    grow(sqlite_store, 0, 1)
    target = tmp_path / "moved.db"

    def intrude(*_: object) -> None:
        target.write_bytes(b"mine")

    with pytest.raises(StoreError, match="exists"):
        copy(sqlite_store, f"sqlite:///{target}", intrude)
    assert target.read_bytes() == b"mine"
    with pytest.raises(StoreError, match="cannot write"):
        copy(sqlite_store, f"sqlite:///{tmp_path}/nowhere/moved.db")
