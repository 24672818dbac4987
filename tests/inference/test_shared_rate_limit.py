"""Budgets per minute hold for all who share a store, and are used up."""

from __future__ import annotations

import asyncio
import subprocess
import time

import pytest
from sqlalchemy import func, select, update

from annoy_store.db.engine import Database
from annoy_store.db.sql import clock
from annoy_store.db.tables import attempts, budgets
from annoy_store.inference.client.rate_limit import BURST_SECONDS, RateLimiter, Reservation
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


def book(timeline: SharedRateLimit, units: float, per_minute: int = 60) -> float:
    (begin,) = asyncio.run(timeline.reserve([Reservation("requests", per_minute, units)]))
    return begin


def test_reservations_adjoin_whoever_makes_them(store: Database) -> None:
    first, second = SharedRateLimit(store, WHO), SharedRateLimit(store, WHO)
    begins = [book(t, 10) for t in (first, second, second, first)]
    assert begins[0] == pytest.approx(-1, abs=0.1)
    assert begins == pytest.approx([-1, 9, 19, 29], abs=1)
    with store.read() as connection:
        (row,) = connection.execute(select(budgets)).all()
    assert tuple(row)[:4] == ("requests per minute: sim at http://localhost/v1", 60.0, 0.0, 40.0)


def test_rate_limits_are_kept_by_endpoint_and_model(sqlite_store: Database) -> None:
    book(SharedRateLimit(sqlite_store, WHO), 60)
    other = TeacherIdentity("openai", "other", WHO.base_url)
    assert book(SharedRateLimit(sqlite_store, other), 60) < 0
    assert book(SharedRateLimit(sqlite_store, WHO), 60) > 50


def test_reservations_can_be_given_back(sqlite_store: Database) -> None:
    timeline = SharedRateLimit(sqlite_store, WHO)
    book(timeline, 60)
    book(timeline, -30)
    assert book(timeline, 1) == pytest.approx(29, abs=1)


def test_reservation_ignores_an_implausible_moment(store: Database) -> None:
    timeline = SharedRateLimit(store, WHO)
    book(timeline, 1)
    with store.write() as connection:
        connection.execute(update(budgets).values(window_start=clock() + 86_400))
    assert book(timeline, 1) == pytest.approx(-1, abs=0.1)


def test_reservation_saves_up_no_more_than_the_burst(store: Database) -> None:
    timeline = SharedRateLimit(store, WHO)
    book(timeline, 1)
    with store.write() as connection:
        connection.execute(update(budgets).values(window_start=clock() - 500))
    assert book(timeline, 5) == pytest.approx(-1, abs=0.1)
    assert book(timeline, 5) == pytest.approx(4, abs=0.5)


def test_shared_rate_limit_is_divided_evenly(sqlite_store: Database) -> None:
    """Each of four has more to ask than there is time for; none gets much more than another."""
    let_in = [0] * 4

    async def ask(number: int, budget: RateLimiter) -> None:
        await budget.acquire(1)
        let_in[number] += 1

    async def fleet() -> None:
        sharing = [RateLimiter(6000, None) for _ in let_in]
        for budget in sharing:
            budget.rate_limit = SharedRateLimit(sqlite_store, WHO)
        calls = [
            asyncio.create_task(ask(number, budget))
            for number, budget in enumerate(sharing)
            for _ in range(40)
        ]
        await asyncio.sleep(0.6)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(fleet())
    assert sum(let_in) <= 161
    assert max(let_in) - min(let_in) <= 40


RATE = 40  # a second


@pytest.fixture
def limited(provider: Provider) -> Provider:
    provider.behave(rpm=60 * RATE, latency=0.2, jitter=0.5)
    return provider


def asked_in(provider: Provider, seconds: float) -> tuple[int, float]:
    """How many calls come within some seconds, and how many seconds that were."""
    before, began = asked(provider), time.monotonic()
    time.sleep(seconds)
    return asked(provider) - before, time.monotonic() - began


def asked(provider: Provider) -> int:
    return provider.paid.total() + provider.in_flight + provider.counts["429"]


def set_out(start: Start, store: Database, provider: Provider) -> list[subprocess.Popen[str]]:
    """Three workers that have been at it for some seconds, sharing what the provider allows."""
    plan_calls(store, 1200)
    workers = [start(store, "--requests-per-minute", str(60 * RATE)) for _ in range(3)]
    wait_for(lambda: asked(provider) > 2 * RATE, workers[0])
    return workers


def test_shared_rate_limit_is_kept_and_used_by_three_workers(
    store: Database, limited: Provider, start: Start
) -> None:
    workers = set_out(start, store, limited)
    n, seconds = asked_in(limited, 3)
    refused = limited.counts["429"]
    print(f"asked {n / seconds:.1f} a second of {RATE}; {refused} refused of {asked(limited)}")
    assert 0.9 * RATE * seconds <= n <= RATE * (seconds + BURST_SECONDS)
    assert refused <= 0.02 * asked(limited)
    for worker in workers:
        worker.terminate()
    assert {ended(worker)[0] for worker in workers} == {130}
    state, by_worker = kept(store), select(func.count(attempts.c.id)).group_by(attempts.c.worker_id)
    assert (state["wrong"], state["answers"]) == ([], state["jobs"]["done"])
    with store.read() as connection:
        shares = connection.scalars(by_worker).all()
    assert len(shares) == 3
    assert min(shares) >= RATE / 2


def test_shared_rate_limit_of_dead_workers_ends(
    sqlite_store: Database, limited: Provider, start: Start
) -> None:
    workers = set_out(start, sqlite_store, limited)
    for worker in workers[1:]:
        worker.kill()
    n, seconds = asked_in(limited, 3)
    booked = 2  # seconds, by the two that died
    assert 0.9 * RATE * (seconds - booked) <= n <= RATE * (seconds + BURST_SECONDS)
