"""A provider with batches, a store with calls to ask, and runs that come by until nothing waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
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
ComeBy = Callable[..., RunResult]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated provider's list never lags."""
    monkeypatch.setattr(poll, "RELIST_SECONDS", 0.0)


@pytest.fixture
def come_by(provider: Provider) -> ComeBy:
    """Run `complete` once by batch."""

    def once(store: Database, **values: Any) -> RunResult:
        limit = values.pop("limit", None)
        given = {"teacher": "batch", "model": "sim", "base_url": provider.url, "prices": PRICES}
        settings = RunSettings(**{**given, "poll_seconds": 0.001, "max_tokens": 100, **values})
        return run(store, settings, ["complete"], limit=limit)

    return once


@pytest.fixture
def until_done(come_by: ComeBy) -> Callable[..., int]:
    """Come by until nothing waits; how often that was."""

    def loop(store: Database, **values: Any) -> int:
        for times in range(1, 60):
            if not come_by(store, **values).open_batches:
                return times
        raise AssertionError(out(store))

    return loop


def out(store: Database) -> list[BatchRow]:
    """All batches of a store."""
    with store.read() as connection:
        return find_batches(connection)


def tries(store: Database) -> Counter[tuple[str, str | None]]:
    """Attempts by status and error."""
    with store.read() as connection:
        rows = connection.execute(select(attempts.c.status, attempts.c.error_class))
        return Counter((row.status, row.error_class) for row in rows)
