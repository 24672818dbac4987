"""Rate limits hold for all workers of a store, and are used up."""

from __future__ import annotations

import asyncio
import subprocess
import time

import pytest
from sqlalchemy import func, select, update

from annoy_store.db.engine import Database
from annoy_store.db.sql import clock
from annoy_store.db.tables import attempts, budgets
from annoy_store.inference.client.rate_limit import BURST_SECONDS, Reservation
from annoy_store.inference.shared_rate_limit import SharedRateLimit
from annoy_store.interfaces import TeacherIdentity
from tests.integration.test_interrupted_calls import (
    Start,
    ended,
    kept,
    plan_calls,
    provider,
    start,
    wait_for,
)
from tests.support.provider import Provider

__all__ = ["provider", "start"]  # fixtures
WHO = TeacherIdentity("openai", "sim", "http://localhost/v1")


def reserve(limit: SharedRateLimit, amount: float) -> float:
    """Reserve at 60 a minute; return in how many seconds the interval begins."""
    (begin,) = asyncio.run(limit.reserve([Reservation("requests", 60, amount)]))
    return begin


def reserved_until(store: Database, model: str = "sim") -> float:
    """Return the moment up to which a limit is reserved, by the database's clock."""
    name = f"requests per minute: {model} at {WHO.base_url}"
    with store.read() as connection:
        row = connection.execute(select(budgets).where(budgets.c.name == name)).one()
    return float(row.window_start)


def set_reserved_until(store: Database, seconds_from_now: float) -> None:
    with store.write() as connection:
        connection.execute(update(budgets).values(window_start=clock() + seconds_from_now))


@pytest.mark.slow_on("postgres")
def test_reservations_adjoin_whoever_makes_them(store: Database) -> None:
    first, second = SharedRateLimit(store, WHO), SharedRateLimit(store, WHO)
    assert reserve(first, 10) == pytest.approx(-BURST_SECONDS, abs=0.1)
    ends = [reserved_until(store)]
    for limit in (second, second, first):
        reserve(limit, 10)
        ends.append(reserved_until(store))
    assert [end - ends[0] for end in ends] == pytest.approx([0, 10, 20, 30])
    with store.read() as connection:
        (row,) = connection.execute(select(budgets)).all()
    assert tuple(row)[:4] == ("requests per minute: sim at http://localhost/v1", 60.0, 0.0, 40.0)


def test_rate_limits_are_kept_by_endpoint_and_model(sqlite_store: Database) -> None:
    reserve(SharedRateLimit(sqlite_store, WHO), 60)
    end = reserved_until(sqlite_store)
    other = TeacherIdentity("openai", "other", WHO.base_url)
    assert reserve(SharedRateLimit(sqlite_store, other), 60) < 0
    assert reserved_until(sqlite_store) == end
    reserve(SharedRateLimit(sqlite_store, WHO), 60)
    assert reserved_until(sqlite_store) == pytest.approx(end + 60)


def test_reservations_can_be_given_back(sqlite_store: Database) -> None:
    limit = SharedRateLimit(sqlite_store, WHO)
    reserve(limit, 60)
    end = reserved_until(sqlite_store)
    reserve(limit, -30)
    reserve(limit, 1)
    assert reserved_until(sqlite_store) == pytest.approx(end - 29)


def test_reservation_ignores_an_implausible_moment(store: Database) -> None:
    limit = SharedRateLimit(store, WHO)
    reserve(limit, 1)
    set_reserved_until(store, 86_400)
    assert reserve(limit, 1) == pytest.approx(-BURST_SECONDS, abs=0.1)


def test_reservation_saves_up_no_more_than_the_burst(store: Database) -> None:
    limit = SharedRateLimit(store, WHO)
    reserve(limit, 1)
    set_reserved_until(store, -500)
    assert reserve(limit, 5) == pytest.approx(-BURST_SECONDS, abs=0.1)
    end = reserved_until(store)
    reserve(limit, 5)
    assert reserved_until(store) == pytest.approx(end + 5)


# Workers that share a limit: a real clock is the point ---------------------------------------

RATE = 40  # a second


@pytest.fixture
def limited(provider: Provider) -> Provider:
    provider.behave(rpm=60 * RATE, latency=0.2, jitter=0.5)
    return provider


def calls_in(provider: Provider, seconds: float) -> tuple[int, float]:
    """Return how many calls come within some seconds, and how many seconds that were."""
    before, start = n_calls(provider), time.monotonic()
    time.sleep(seconds)
    return n_calls(provider) - before, time.monotonic() - start


def n_calls(provider: Provider) -> int:
    return provider.paid.total() + provider.in_flight + provider.counts["429"]


def three_workers(start: Start, store: Database, provider: Provider) -> list[subprocess.Popen[str]]:
    """Start workers that share what the provider allows, and wait for two seconds' calls."""
    plan_calls(store, 1200)
    workers = [start(store, "--requests-per-minute", str(60 * RATE)) for _ in range(3)]
    wait_for(lambda: n_calls(provider) > 2 * RATE, workers[0])
    return workers


@pytest.mark.slow
def test_shared_rate_limit_is_kept_and_used_by_three_workers(
    store: Database, limited: Provider, start: Start
) -> None:
    workers = three_workers(start, store, limited)
    n, seconds = calls_in(limited, 3)
    rejected = limited.counts["429"]
    print(f"{n / seconds:.1f} calls a second of {RATE}; {rejected} rejected of {n_calls(limited)}")
    assert 0.9 * RATE * seconds <= n <= RATE * (seconds + BURST_SECONDS)
    assert rejected <= 0.02 * n_calls(limited)
    for worker in workers:
        worker.terminate()
    assert {ended(worker)[0] for worker in workers} == {130}
    state, by_worker = kept(store), select(func.count(attempts.c.id)).group_by(attempts.c.worker_id)
    assert (state["wrong"], state["answers"]) == ([], state["jobs"]["done"])
    with store.read() as connection:
        shares = connection.scalars(by_worker).all()
    assert len(shares) == 3
    assert min(shares) >= RATE / 2


@pytest.mark.slow
def test_shared_rate_limit_of_dead_workers_ends(
    sqlite_store: Database, limited: Provider, start: Start
) -> None:
    workers = three_workers(start, sqlite_store, limited)
    for worker in workers[1:]:
        worker.kill()
    n, seconds = calls_in(limited, 3)
    reserved = 2  # seconds, by the two that died
    assert 0.9 * RATE * (seconds - reserved) <= n <= RATE * (seconds + BURST_SECONDS)
