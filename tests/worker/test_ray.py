"""Runs on Ray: one run per group of cores, all on one store."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import workers
from annoy_store.errors import UsageError
from annoy_store.maintenance.check import check
from annoy_store.maintenance.fingerprint import content_differences
from annoy_store.queue.jobs import in_state
from annoy_store.queue.workers import IS_ALIVE
from annoy_store.worker.ray import SlotGroup, shared_url, slot_groups, uses_sandbox
from tests.integration.test_crash import ROOT, asked_of, held
from tests.integration.test_pipeline import sources, teach, work
from tests.support.provider import Provider


def test_slot_groups_are_cores_of_one_node() -> None:
    nodes = {"a": 5, "b": 2, "head": 0}
    assert list(slot_groups(nodes, 2, True)) == [
        SlotGroup("a", 2),
        SlotGroup("a", 2),
        SlotGroup("b", 2),
    ]
    assert list(slot_groups(nodes, None, True)) == [SlotGroup("a", 5), SlotGroup("b", 2)]
    assert list(slot_groups(nodes, 4, False)) == [SlotGroup("a", 1)]
    with pytest.raises(UsageError, match="the largest has 5"):
        list(slot_groups(nodes, 6, True))


def test_slot_groups_without_a_sandbox_are_one() -> None:
    assert uses_sandbox([])
    assert uses_sandbox(["complete", "verify"])
    assert not uses_sandbox(["complete"])


def test_shared_url_rejects_a_file_on_many_machines(
    sqlite_store: Database, postgres_store: Database
) -> None:
    here = socket.gethostname()
    assert shared_url(sqlite_store, {here}) == f"sqlite:///{sqlite_store.path}"
    with pytest.raises(UsageError, match="annoy copy"):
        shared_url(sqlite_store, {here, "elsewhere"})
    assert shared_url(postgres_store, {here, "elsewhere"}).startswith("postgresql")


# On a cluster --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Ray cluster of one node with two cores, for us alone: its address."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray: pip install 'annoy-store[ray]'")
    with socket.socket() as free, tempfile.TemporaryDirectory(prefix="ray-") as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        words = ["start", "--head", "--block", "--num-cpus=2", f"--port={port}"]
        words += ["--include-dashboard=false", f"--temp-dir={folder}", "--disable-usage-stats"]
        program = "from ray.scripts.scripts import main; main()"
        log = Path(folder, "start.log")
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", program, *words],
                stdout=out,
                stderr=out,
                cwd=folder,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        try:
            _wait(lambda: "Ray runtime started" in log.read_text(), 90)
            yield f"127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait(happened: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def _started(store: Database, provider: Provider, cluster: str) -> subprocess.Popen[str]:
    url = store.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "annoy_store", "--store", url, "run", "--model", "m"]
    command += ["--base-url", provider.url, "--slots", "1", "--max-connections", "4"]
    return subprocess.Popen(
        [*command, "--ray", cluster],
        text=True,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _alive(store: Database) -> dict[int, int]:
    with store.read() as connection:
        found = connection.execute(select(workers.c.id, workers.c.pid).where(IS_ALIVE))
        return {row.id: row.pid for row in found}


def _n_claimed(store: Database) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).where(in_state("claimed"))) or 0


def _fill(store: Database) -> None:
    with store.write() as connection:
        insert_rows(connection, sources(3, 5, 7, 11))


@pytest.mark.ray
@pytest.mark.parametrize("death", [False, True])
def test_run_on_ray_makes_what_one_run_makes(
    postgres_store: Database, sqlite_store: Database, cluster: str, death: bool
) -> None:
    """Also when one of its actors is killed."""
    with Provider(answers=teach, latency=0.2).serving() as provider:
        work(sqlite_store, provider, sources(3, 5, 7, 11))
        before = asked_of(provider)
        _fill(postgres_store)
        process = _started(postgres_store, provider, cluster)
        _wait(lambda: len(_alive(postgres_store)) == 2)
        if death:
            _wait(lambda: asked_of(provider) > before + 4)
            os.kill(max(_alive(postgres_store).values()), signal.SIGKILL)
        _, words = process.communicate(timeout=90)
        assert process.returncode == 0, words
        assert ("a run on the cluster ended" in words) == death
        assert content_differences(held(sqlite_store), held(postgres_store)) == {}
        assert check(postgres_store) == []


@pytest.mark.ray
def test_run_on_ray_drains_on_the_first_signal(postgres_store: Database, cluster: str) -> None:
    with Provider(answers=teach, latency=0.2).serving() as provider:
        _fill(postgres_store)
        process = _started(postgres_store, provider, cluster)
        _wait(lambda: asked_of(provider) > 4)
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=60)
        assert process.returncode == 130, words
        assert (_alive(postgres_store), _n_claimed(postgres_store)) == ({}, 0)
        assert check(postgres_store) == []


@pytest.mark.ray
def test_run_on_ray_takes_a_file_on_this_machine(sqlite_store: Database, cluster: str) -> None:
    with Provider(answers=teach).serving() as provider:
        _fill(sqlite_store)
        process = _started(sqlite_store, provider, cluster)
        _, words = process.communicate(timeout=60)
        assert process.returncode == 0, words
        assert _n_claimed(sqlite_store) == 0
        assert check(sqlite_store) == []


def test_run_on_ray_reports_a_missing_cluster_at_once(sqlite_store: Database) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray: pip install 'annoy-store[ray]'")
    process = _started(sqlite_store, Provider(), "127.0.0.1:1")
    _, words = process.communicate(timeout=60)
    assert process.returncode == 1
    assert words.startswith("annoy: no Ray cluster at 127.0.0.1:1")
