"""Connections, transactions and statements on both databases."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from annoy_store.db import engine
from annoy_store.db.engine import Database, is_transient
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.sql import (
    clock,
    in_values,
    increment,
    insert_from,
    insert_new,
    now,
    reserve_ids,
    upsert,
)
from annoy_store.db.sqlite_file import sqlite_module
from annoy_store.db.tables import (
    hidden_subjects,
    job_counters,
    jobs,
    origins,
    sources,
    watermarks,
    workers,
)
from annoy_store.errors import StoreError, UsageError
from tests.support.factories import source


def rows(*contents: str) -> list[dict[str, Any]]:
    return [dict(source(content).values) for content in contents]


def count(store: Database, table: Any) -> int:
    with store.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


# Opening -------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["host=h dbname=d", "mysql://host/x", "sqlite://", "oracle://x/y"])
def test_connect_rejects_other_urls(url: str) -> None:
    with pytest.raises(UsageError, match=r"sqlite:///FILE"):
        engine.connect(url)


def test_open_store_does_not_create_a_missing_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="annoy init"):
        open_store(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []


def test_open_store_rejects_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text(
        "this is not a database, and long enough to be read as one\n" * 40
    )
    with pytest.raises(StoreError, match="cannot use the store"):
        open_store(f"sqlite:///{tmp_path}/x.db")


def test_open_store_reports_an_unreachable_server_in_one_sentence() -> None:
    with pytest.raises(StoreError, match="cannot use the store") as caught:
        open_store("postgresql://someone:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sqlite_runs_with_the_settings_that_the_design_counts_on(sqlite_store: Database) -> None:
    with sqlite_store.write() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "page_size", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 1,
        "foreign_keys": 1,
        "page_size": 8192,
        "busy_timeout": 30000,
    }


def test_sqlite_module_is_the_newest_library() -> None:
    versions = [sqlite_module().sqlite_version_info, __import__("sqlite3").sqlite_version_info]
    assert versions[0] == max(versions)


# Transactions --------------------------------------------------------------------------------


def test_read_is_a_snapshot(store: Database) -> None:
    with store.read() as connection:
        before = connection.scalar(select(func.count()).select_from(sources))
        with store.write() as other:
            insert_new(other, sources, rows("a"))
        assert connection.scalar(select(func.count()).select_from(sources)) == before == 0
    assert count(store, sources) == 1


def test_write_that_raises_leaves_nothing(store: Database) -> None:
    def work(connection: Any) -> None:
        insert_new(connection, sources, rows("a"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.transact(work)
    assert count(store, sources) == 0
    with store.write() as connection:
        insert_new(connection, sources, rows("a"))
    assert count(store, sources) == 1


def test_foreign_keys_are_enforced(store: Database) -> None:
    values = {"digest": "d", "source_id": 99, "origin": "", "repo": "", "path": ""}
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(origins.insert().values(**values, licence="", metadata="{}"))


def test_write_inside_a_write_is_an_error_and_no_deadlock(sqlite_store: Database) -> None:
    with sqlite_store.write(), pytest.raises(RuntimeError), sqlite_store.write():
        pass
    with sqlite_store.write() as connection:
        insert_new(connection, sources, rows("a"))


def test_write_runs_one_thread_at_a_time(store: Database) -> None:
    def work(n: int) -> None:
        for i in range(10):
            with store.write() as connection:
                known = connection.scalar(select(func.count()).select_from(sources))
                insert_new(connection, sources, rows(f"{n} {i} {known}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(store, sources) == 40


def test_write_waits_for_the_lock_of_another_process(sqlite_store: Database) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, f"{sqlite_store.path}.lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    written = threading.Event()

    def work() -> None:
        with sqlite_store.write() as connection:
            insert_new(connection, sources, rows("a"))
        written.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert not written.wait(0.2)
    holder.kill()  # the kernel lets go of the lock
    holder.communicate()
    assert written.wait(10)
    thread.join()


_HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_lock_files_of_ended_threads_are_closed(sqlite_store: Database) -> None:
    def work() -> None:
        with sqlite_store.write() as connection:
            insert_new(connection, sources, rows("a"))

    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) < before + 10


def test_wal_stays_small_under_writers(sqlite_store: Database) -> None:
    for i in range(60):
        with sqlite_store.write() as connection:
            insert_new(connection, sources, rows(f"{i} " + "x" * 200_000))
    wal = Path(f"{sqlite_store.path}-wal").stat().st_size
    assert wal < 10_000_000  # 12 MB were written through it


def test_write_waits_for_a_foreign_lock_on_the_file(sqlite_store: Database) -> None:
    rude: Any = sqlite_module().connect(
        str(sqlite_store.path), isolation_level=None, check_same_thread=False
    )
    rude.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: rude.execute("COMMIT"))
    timer.start()
    with sqlite_store.write() as connection:
        insert_new(connection, sources, rows("a"))
    timer.join()
    rude.close()
    assert count(sqlite_store, sources) == 1


# Trying again --------------------------------------------------------------------------------


def test_transact_reconnects_after_a_lost_connection(postgres_store: Database) -> None:
    tries: list[int] = []

    def work(connection: Any) -> int:
        tries.append(1)
        insert_new(connection, sources, rows("a"))
        if len(tries) == 1:
            mine = connection.scalar(text("SELECT pg_backend_pid()"))
            with postgres_store.read_engine.connect() as other, other.begin():
                other.execute(text("SELECT pg_terminate_backend(:p)"), {"p": mine})
            time.sleep(0.05)
        return int(connection.scalar(select(func.count()).select_from(sources)))

    assert postgres_store.transact(work) == 1
    assert len(tries) == 2


def test_transact_retries_a_deadlock(postgres_store: Database) -> None:
    with postgres_store.write() as connection:
        insert_new(connection, hidden_subjects, [{"kind": k, "subject_id": 1} for k in "ab"])
    barrier = threading.Barrier(2, timeout=20)
    tries: list[str] = []

    def work(first: str, second: str) -> None:
        def change(connection: Any) -> None:
            tries.append(first)
            lock = "SELECT 1 FROM hidden_subjects WHERE kind = :k FOR UPDATE"
            connection.execute(text(lock), {"k": first})
            if len(tries) <= 2:
                barrier.wait()
            connection.execute(text(lock), {"k": second})

        postgres_store.transact(change)

    threads = [threading.Thread(target=work, args=pair) for pair in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(tries) == 3


def test_transact_does_not_retry_a_mistake(store: Database) -> None:
    tries: list[int] = []

    def work(connection: Any) -> None:
        tries.append(1)
        connection.execute(text("SELECT nonsense"))

    with pytest.raises(DBAPIError) as caught:
        store.transact(work)
    assert tries == [1]
    assert not is_transient(caught.value)


# What differs between the dialects -----------------------------------------------------------


def test_insert_new_skips_rows_that_exist(store: Database) -> None:
    with store.write() as connection:
        insert_new(connection, sources, rows("a", "b"))
        insert_new(connection, sources, rows("b", "c"))
        insert_new(connection, sources, [])
        found = connection.scalars(select(sources.c.content).order_by(sources.c.id)).all()
    assert found == ["a", "b", "c"]


def test_insert_from_returns_how_many_are_new(store: Database) -> None:
    with store.write() as connection:
        insert_new(connection, sources, rows("a", "b"))
        chosen = select(sources.c.content.label("kind"), sources.c.id.label("subject_id")).where(
            sources.c.id > 0
        )
        assert insert_from(connection, hidden_subjects, chosen) == 2
        assert insert_from(connection, hidden_subjects, chosen) == 0


def test_increment_adds_and_upsert_overwrites(store: Database) -> None:
    row = {"worker_id": 1, "stage": "s", "state": "done", "n": 2}
    mark = {"stage": "s", "scope": "x", "upto": 7}
    with store.write() as connection:
        increment(connection, job_counters, [row, {**row, "state": "failed"}])
        increment(connection, job_counters, [row])
        upsert(connection, watermarks, mark)
        upsert(connection, watermarks, {**mark, "upto": 5})
        sums = dict(connection.execute(select(job_counters.c.state, job_counters.c.n)).all())  # type: ignore[arg-type]
        assert connection.scalar(select(watermarks.c.upto)) == 5
    assert sums == {"done": 4, "failed": 2}


@pytest.mark.parametrize("n", [0, 1, 40_000])
def test_in_values_takes_any_number_of_values(store: Database, n: int) -> None:
    wanted = rows("a", "b", "c")
    with store.write() as connection:
        insert_new(connection, sources, wanted)
        digests = [r["digest"] for r in wanted][: min(n, 2)] + [f"{i}" for i in range(2, n)]
        chosen = select(func.count()).where(in_values(connection, sources.c.digest, digests))
        assert connection.scalar(chosen) == min(n, 2)
        ids = connection.scalars(select(sources.c.id)).all()
        chosen = select(func.count()).where(in_values(connection, sources.c.id, ids))
        assert connection.scalar(chosen) == 3


def test_reserve_ids_gives_new_ids_each_time(store: Database) -> None:
    with store.write() as connection:
        first = reserve_ids(connection, workers, 3)
        values = {"host": "h", "pid": 1, "process_start": "", "stages": "", "alive": 1}
        for key in first:
            row = {**values, "id": key, "lease_until": 0.0, "started_at": 0.0}
            connection.execute(workers.insert().values(**row))
        again = reserve_ids(connection, workers, 2)
    assert len({*first, *again}) == 5
    assert min(again) > max(first)


def test_clock_of_the_database_is_the_time(store: Database) -> None:
    with store.write() as connection:
        inside = float(connection.scalar(select(clock())) or 0)
        assert abs(now(connection) - inside) < 5
    assert abs(inside - time.time()) < 5


def test_text_of_any_kind_comes_back_as_it_went_in(store: Database) -> None:
    odd = "a\x01\t\r\n\u2028\U0001f40d'\"\\%s :name $1 \ud7ff\uffff"
    with store.write() as connection:
        insert_rows(connection, [source(odd)])
        assert connection.scalar(select(sources.c.content)) == odd


def test_states_outside_the_list_are_refused(store: Database) -> None:
    row = {"stage": "s", "subject_id": 1, "variant_id": 1, "state": "lost"}
    with pytest.raises(IntegrityError), store.write() as connection:
        insert_new(connection, jobs, [row])


def test_flock_is_released_after_an_error(sqlite_store: Database) -> None:
    with pytest.raises(DBAPIError), sqlite_store.write() as connection:
        connection.execute(text("SELECT nonsense"))
    descriptor = os.open(f"{sqlite_store.path}.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
