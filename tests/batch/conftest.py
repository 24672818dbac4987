"""Fixtures: a provider with batches, and batch runs, once or until no batch is open."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from annoy_store.batch import poll
from annoy_store.batch.rows import BatchRow, find_batches
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.tables import attempts
from annoy_store.worker.run import RunResult, run
from tests.support.provider import Provider

PRICES = {"sim": {"input": 1.0, "cached": 0.5, "output": 4.0}}
RunOnce = Callable[..., RunResult]
UntilDone = Callable[..., int]
Killed = Callable[..., None]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the provider's list, which never lags."""
    monkeypatch.setattr(poll, "RELIST_SECONDS", 0.0)


@pytest.fixture
def run_once(provider: Provider) -> RunOnce:
    """Return a function that makes one batch run of `complete`."""

    def once(store: Database, **values: Any) -> RunResult:
        limit = values.pop("limit", None)
        given = {"teacher": "batch", "model": "sim", "base_url": provider.url, "prices": PRICES}
        settings = RunSettings(**{**given, "poll_seconds": 0.001, "max_tokens": 100, **values})
        return run(store, settings, ["complete"], limit=limit)

    return once


@pytest.fixture
def until_done(run_once: RunOnce) -> UntilDone:
    """Return a function that makes runs until no batch is open, and returns how many."""

    def loop(store: Database, **values: Any) -> int:
        for times in range(1, 60):
            if not run_once(store, **values).open_batches:
                return times
        raise AssertionError(all_batches(store))

    return loop


@pytest.fixture
def killed(provider: Provider) -> Iterator[Killed]:
    """Return a function that kills (-9) a batch run when the provider stalls at a step."""
    started: list[subprocess.Popen[str]] = []

    def at(store: Database, step: str, *options: str, key: str = "") -> None:
        url = store.url.render_as_string(hide_password=False)
        command = [sys.executable, "-m", "annoy_store", "--store", url, "run", "complete"]
        command += ["--teacher", "batch", "--base-url", provider.url, "--model", "sim", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ANNOY_BATCH_LINES": "250"}
        if key:
            environment |= {"OPENAI_API_KEY": key}
        before = provider.counts["stalled"]
        provider.behave(stall=step)
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        until = time.monotonic() + 60
        while provider.counts["stalled"] == before:
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < until
            time.sleep(0.01)
        process.kill()
        process.wait()
        provider.behave(stall=None)

    yield at
    for process in started:
        process.kill()
        process.communicate()


def all_batches(store: Database) -> list[BatchRow]:
    """Return all batches of a store."""
    with store.read() as connection:
        return find_batches(connection)


def attempt_counts(store: Database) -> Counter[tuple[str, str | None]]:
    """Count attempts by status and error."""
    with store.read() as connection:
        rows = connection.execute(select(attempts.c.status, attempts.c.error_class))
        return Counter((row.status, row.error_class) for row in rows)
