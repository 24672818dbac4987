"""The gate: order, budgets, pauses, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from annoy_store.errors import EndpointUnavailable
from annoy_store.inference.client.admission import Permit, RequestLimiter
from annoy_store.inference.client.circuit_breaker import (
    ERROR_THRESHOLD,
    UNREACHABLE_THRESHOLD,
    CircuitBreaker,
)
from annoy_store.inference.client.concurrency import AdaptiveConcurrency
from annoy_store.inference.client.rate_limit import RateLimiter, Reservation
from annoy_store.inference.client.usage import TokenUsage


class Written:
    """A timeline that is always free, and notes what was booked."""

    def __init__(self) -> None:
        self.units: list[float] = []

    async def reserve(self, wanted: Sequence[Reservation]) -> list[float]:
        self.units += [stretch.amount for stretch in wanted]
        return [-stretch.seconds for stretch in wanted]


def gate(cap: int = 2, **budgets: int) -> RequestLimiter:
    budget = RateLimiter(budgets.get("requests"), budgets.get("tokens"))
    return RequestLimiter(AdaptiveConcurrency(cap, fixed=True), budget, CircuitBreaker(0.05, 0.1))


def within(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


def test_limiter_admits_up_to_the_limit_in_order() -> None:
    async def scene() -> None:
        doors, passed, most = gate(3), list[int](), 0

        async def walk(number: int) -> None:
            nonlocal most
            slot = await doors.acquire(1)
            passed.append(number)
            most = max(most, doors.in_flight)
            await asyncio.sleep(0.001)
            doors.release(slot, None)

        await asyncio.gather(*(walk(n) for n in range(20)))
        assert passed == list(range(20))
        assert most == 3
        assert doors.in_flight == 0

    within(scene())


def test_limiter_gives_no_permit_to_a_cancelled_waiter() -> None:
    async def scene() -> None:
        doors = gate(1)
        slot = await doors.acquire(1)
        waiting = [asyncio.create_task(doors.acquire(1)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        doors.release(slot, None)
        waiting[1].cancel()  # its place was given to it in this very step
        await asyncio.sleep(0.01)
        assert waiting[2].done()
        assert doors.in_flight == 1

    within(scene())


def test_limiter_close_ends_waits_and_not_calls_in_flight() -> None:
    async def scene() -> None:
        doors = gate(1)
        slot = await doors.acquire(1)
        queued = asyncio.create_task(doors.acquire(1))
        resting = asyncio.create_task(doors.sleep(60))
        await asyncio.sleep(0)
        doors.close(EndpointUnavailable("enough"))
        for waiter in (queued, resting):
            with pytest.raises(EndpointUnavailable, match="enough"):
                await waiter
        with pytest.raises(EndpointUnavailable, match="enough"):
            await doors.acquire(1)
        doors.release(slot, None)
        assert doors.in_flight == 0
        assert doors.n_waiting == 0

    within(scene())


def test_capacity_counts_waiting_calls_up_to_the_limit() -> None:
    async def scene() -> None:
        doors = gate(2)
        rests = [asyncio.create_task(doors.sleep(60)) for _ in range(5)]
        await asyncio.sleep(0)
        assert doors.capacity == 4
        doors.close(EndpointUnavailable("end"))
        await asyncio.gather(*rests, return_exceptions=True)

    within(scene())


def test_limiter_probes_an_unreachable_endpoint_and_gives_up() -> None:
    async def scene() -> None:
        doors = gate(8)
        for _ in range(UNREACHABLE_THRESHOLD):
            assert not doors.release_unreachable(await doors.acquire(1))
        probes = [asyncio.create_task(doors.acquire(1)) for _ in range(3)]
        await asyncio.sleep(0.04)
        assert sum(probe.done() for probe in probes) == 1
        slot = probes[0].result()
        await asyncio.sleep(0.03)
        assert doors.release_unreachable(slot)
        doors.close(EndpointUnavailable("down"))
        await asyncio.gather(*probes, return_exceptions=True)

    within(scene())


def test_breaker_closes_after_an_answer() -> None:
    breaker = CircuitBreaker()
    for second in range(ERROR_THRESHOLD):
        breaker.record_error(float(second))
    assert breaker.is_open
    assert breaker.open_until > ERROR_THRESHOLD - 1
    breaker.record_success()
    assert not breaker.is_open
    assert breaker.open_until < 0


def test_breaker_waits_longer_for_a_reached_endpoint() -> None:
    breaker = CircuitBreaker(4, 300)
    breaker.record_success()
    assert not any(breaker.record_unreachable(second, second) for second in map(float, range(299)))
    assert breaker.record_unreachable(299.0, 300.0)


def test_breaker_gives_up_only_after_a_probe() -> None:
    breaker = CircuitBreaker(4, 300)
    assert not any(breaker.record_unreachable(0.0, second) for second in map(float, range(30, 90)))
    assert breaker.record_unreachable(91.0, 92.0)


def test_breaker_ignores_a_single_refused_connection() -> None:
    breaker = CircuitBreaker(4, 300)
    assert not breaker.record_unreachable(0.0, 0.0)
    breaker.record_contact()
    assert not any(
        breaker.record_unreachable(100.0, 100.0 + i) for i in range(UNREACHABLE_THRESHOLD - 1)
    )
    assert not breaker.is_open


def test_rate_limiter_allows_a_second_at_once_and_then_its_rate() -> None:
    async def scene() -> None:
        budget, now = RateLimiter(1200, None), asyncio.get_running_loop().time
        start, moments = now(), list[float]()

        async def call() -> None:
            await budget.acquire(1)
            moments.append(now() - start)

        await asyncio.gather(*(call() for _ in range(30)))
        assert moments[20] < 0.3
        assert 0.4 < moments[29] < 1.5

    within(scene())


def test_rate_limiter_without_limits_never_waits() -> None:
    async def scene() -> None:
        assert await RateLimiter(None, None).acquire(1000) == 1000 + 512

    within(scene())


def test_rate_limiter_corrects_reservations_by_usage() -> None:
    async def scene() -> None:
        timeline = Written()
        budget = RateLimiter(None, 6000)
        budget.rate_limit = timeline
        reserved = await budget.acquire(100)
        budget.settle(reserved, 50, 10)
        again = await budget.acquire(100)
        assert timeline.units == [reserved, again - (reserved - 50)]
        for _ in range(400):
            budget.settle(0, 0, 10)
        assert await budget.acquire(0) == pytest.approx(10, abs=1)

    within(scene())


def test_rate_limiter_reserves_a_second_at_a_time_for_waiting_calls() -> None:
    async def scene() -> None:
        timeline = Written()
        budget = RateLimiter(1200, None)
        budget.rate_limit = timeline
        calls = [asyncio.create_task(budget.acquire(1)) for _ in range(45)]
        await asyncio.sleep(0)
        for call in calls[:3]:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert timeline.units == [20, 20, 2]

    within(scene())


def test_rate_limiter_does_not_starve_a_long_prompt() -> None:
    async def scene() -> None:
        budget, order = RateLimiter(None, 60_000), list[int]()
        for _ in range(400):
            budget.settle(0, 0, 0)

        async def call(number: int, tokens: int) -> None:
            await budget.acquire(tokens)
            order.append(number)

        await asyncio.gather(*(call(n, 1500 if n == 1 else 10) for n in range(6)))
        assert order == list(range(6))

    within(scene())


def test_rate_limiter_close_ends_waits() -> None:
    async def scene() -> None:
        doors = gate(5, requests=1)
        calls = [asyncio.create_task(doors.acquire(1)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert doors.n_waiting == 2
        doors.close(EndpointUnavailable("enough"))
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(e) for e in ended] == [Permit, EndpointUnavailable, EndpointUnavailable]

    within(scene())


def test_limiter_keeps_to_the_rate_limit() -> None:
    async def scene() -> None:
        doors = gate(100, requests=6000)
        clock = asyncio.get_running_loop().time
        start = clock()

        async def walk() -> None:
            doors.release(await doors.acquire(1), None, TokenUsage(1, 0, 1, 0))

        await asyncio.gather(*(walk() for _ in range(130)))
        assert clock() - start >= 0.29

    within(scene())
