"""A run ends when enough chains are correct, and sends no calls in peak hours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.errors import UsageError
from annoy_store.worker import stop_condition
from annoy_store.worker.resources import WorkerResources
from annoy_store.worker.run import run
from tests.integration.test_interrupted_calls import plan_calls
from tests.integration.test_pipeline import sources, teach
from tests.support.provider import Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(answers=teach, latency=0.05).serving() as serving:
        yield serving


def settings(provider: Provider, **values: Any) -> RunSettings:
    return RunSettings(**{"model": "m", "base_url": provider.url, "slots": 1, **values})


def one(store: Database, question: str) -> Any:
    with store.read() as connection:
        return connection.execute(text(question)).scalar()


def test_run_ends_when_enough_chains_are_correct(
    sqlite_store: Database, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_condition, "CHECK_SECONDS", 0.05)
    with sqlite_store.write() as connection:
        insert_rows(connection, sources(*range(3, 15)))
    bounded = settings(provider, max_connections=4)
    done = run(sqlite_store, bounded, until_correct=5)
    correct = one(sqlite_store, "SELECT COUNT(*) FROM v_chains WHERE last_status = 'correct'")
    assert 5 <= correct < 72
    assert done.stop_condition == f"{correct} chains are correct; 5 were wanted"
    assert one(sqlite_store, "SELECT COUNT(*) FROM jobs WHERE state = 'pending'") > 0
    assert run(sqlite_store, bounded, until_correct=correct).by_stage() == {}


# Peak hours ----------------------------------------------------------------------------------


def test_run_sends_no_calls_in_peak_hours(sqlite_store: Database, provider: Provider) -> None:
    """It is peak until somebody sets the clock on; the run waits and says so."""
    plan_calls(sqlite_store, 3)
    now = datetime.now(UTC)
    begin, end = (now - timedelta(hours=2)), (now + timedelta(hours=2))
    hours = f"{begin:%H:%M}-{end:%H:%M}"
    hands = WorkerResources(sqlite_store, settings(provider, only_off_peak=True, peak_hours=hours))
    hands.open_teachers()
    assert hands.max_in_flight() == 0
    told = hands.peak_hours_end()
    assert told is not None
    assert abs(told - end) < timedelta(minutes=1)
    seen: list[str] = []

    def display(progress: Any) -> None:
        seen.append(progress.notice)
        if len(seen) == 3:
            stop[0]()

    stop: list[Any] = []
    bounded = settings(provider, only_off_peak=True, peak_hours=hours)
    run(sqlite_store, bounded, ["complete"], display=display, on_signal=stop.append)
    assert provider.counts["requests"] == 0
    assert set(seen) == {f"peak hours until {end:%a %H:%M} UTC: no calls are sent"}


def test_run_sends_all_calls_off_peak(sqlite_store: Database, provider: Provider) -> None:
    provider.answers = None
    plan_calls(sqlite_store, 3)
    begin = datetime.now(UTC) + timedelta(hours=3)
    hours = f"{begin:%H}-{begin + timedelta(hours=1):%H}"
    bounded = settings(provider, only_off_peak=True, peak_hours=hours)
    assert run(sqlite_store, bounded, ["complete"]).by_stage() == {"complete": {"done": 3}}


def test_peak_hours_must_be_known(sqlite_store: Database, provider: Provider) -> None:
    with pytest.raises(UsageError, match="say --peak-hours"):
        WorkerResources(sqlite_store, settings(provider, only_off_peak=True)).open_teachers()
