"""The recipes for fleets: what the guide says to write down works when it is run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import jobs, workers
from annoy_store.maintenance.check import check
from annoy_store.queue.counters import funnel
from annoy_store.queue.jobs import in_state
from annoy_store.queue.workers import IS_ALIVE
from tests.integration.test_crash import ROOT, asked_of
from tests.integration.test_pipeline import sources, teach
from tests.integration.test_readme import fences
from tests.support.provider import Provider

DRAIN_SECONDS = 60


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(answers=teach, latency=0.1).serving() as serving:
        yield serving


@pytest.fixture
def surroundings(postgres_store: Database, provider: Provider, tmp_path: Path) -> dict[str, str]:
    """The environment of a machine of the fleet: `annoy` on its path, the store's URL, an endpoint."""
    program = tmp_path / "bin" / "annoy"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m annoy_store "$@"\n')
    program.chmod(0o755)
    with postgres_store.write() as connection:
        insert_rows(connection, sources(3, 5, 7))
    return {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ANNOY_STORE_URL": postgres_store.url.render_as_string(hide_password=False),
        "ANNOY_BASE_URL": provider.url,
        "ANNOY_MODEL": "m",
    }


def recipe(language: str) -> str:
    (only,) = fences(language)
    return only


def wait_for(happened: Any) -> None:
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def done(store: Database, stage: str) -> int:
    return store.transact(funnel).get(stage, {}).get("done", 0)


def n_alive(store: Database) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(workers).where(IS_ALIVE)) or 0


def assert_drained(store: Database, processes: list[subprocess.Popen[bytes]]) -> None:
    """Tell them to stop; they give back what they hold, in time."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(DRAIN_SECONDS) for process in processes] == [130] * len(processes)
    with store.read() as connection:
        held = select(func.count()).select_from(jobs).where(in_state("claimed"))
        present = select(func.count()).select_from(workers).where(IS_ALIVE)
        assert (connection.scalar(held), connection.scalar(present)) == (0, 0)
    assert check(store) == []


# systemd -------------------------------------------------------------------------------------


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / "annoy.service"
    unit.write_text(recipe("ini").replace("/opt/annoy/bin/annoy", sys.executable))
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert [line for line in found.stderr.splitlines() if "annoy" in line] == []
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
def test_the_unit_runs_and_stops_as_it_says(
    postgres_store: Database, surroundings: dict[str, str]
) -> None:
    settings = dict(re.findall(r"^(\w+)=(.*)$", recipe("ini"), re.MULTILINE))
    assert int(settings["TimeoutStopSec"]) > DRAIN_SECONDS
    assert settings["SuccessExitStatus"] == "130"
    words = shlex.split(settings["ExecStart"])
    process = subprocess.Popen(["annoy", *words[1:]], env=surroundings)
    wait_for(lambda: n_alive(postgres_store) == 1)
    assert_drained(postgres_store, [process])


# Slurm ---------------------------------------------------------------------------------------


def submitted(script: Path, surroundings: dict[str, str], n: int) -> list[subprocess.Popen[bytes]]:
    """What sbatch does with an array of `n`: the script once each, told of its share by variables."""
    directives = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", script.read_text(), re.MULTILINE))
    first = int(directives["array"].split("-")[0])
    given = {"SLURM_CPUS_PER_TASK": "1", "SLURM_JOB_ID": "77"}
    assert int(directives["cpus-per-task"]) > 0
    return [
        subprocess.Popen(
            ["bash", str(script)],
            env=surroundings | given | {"SLURM_ARRAY_TASK_ID": str(first + i)},
        )
        for i in range(n)
    ]


@pytest.mark.slow
def test_the_array_job_works_and_drains(
    postgres_store: Database, surroundings: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "annoy.sbatch"
    script.write_text(recipe("bash"))
    subprocess.run(["bash", "-n", str(script)], check=True)
    seconds = int(re.findall(r"--signal=B:TERM@(\d+)", script.read_text())[0])
    assert seconds > DRAIN_SECONDS
    tasks = submitted(script, surroundings, 2)
    wait_for(lambda: n_alive(postgres_store) == 2)
    asking = ["annoy", "run", "transform", "complete", "parse", "predict", "revise"]
    subprocess.run(asking, env=surroundings, check=True, timeout=60)
    wait_for(lambda: done(postgres_store, "generate") == 3)
    assert_drained(postgres_store, tasks)


# Kubernetes ----------------------------------------------------------------------------------


def pod() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load(recipe("yaml"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert "completions" not in job["spec"]  # a queue: it is over when one pod found nothing left
    template: dict[str, Any] = job["spec"]["template"]["spec"]
    assert template["terminationGracePeriodSeconds"] > DRAIN_SECONDS
    return template


@pytest.mark.slow
def test_pods_end_when_nothing_is_left(
    postgres_store: Database, surroundings: dict[str, str], provider: Provider
) -> None:
    (container,) = pod()["containers"]
    pods = [subprocess.Popen(container["command"], env=surroundings) for _ in range(2)]
    assert [process.wait(90) for process in pods] == [0, 0]
    assert done(postgres_store, "verify") == 27
    assert check(postgres_store) == []


@pytest.mark.slow
def test_a_pod_that_is_moved_drains(
    postgres_store: Database, surroundings: dict[str, str], provider: Provider
) -> None:
    (container,) = pod()["containers"]
    process = subprocess.Popen(container["command"], env=surroundings)
    wait_for(lambda: asked_of(provider) > 2)
    assert_drained(postgres_store, [process])
