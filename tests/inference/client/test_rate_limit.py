"""Rate limits of one process: reservations, order, corrections by usage."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from annoy_store.inference.client.rate_limit import (
    BURST_SECONDS,
    LocalRateLimit,
    RateLimiter,
    Reservation,
)
from tests.support import virtual_time


class RecordingRateLimit:
    """A rate limit that is always free, and records what was reserved."""

    def __init__(self) -> None:
        self.amounts: list[float] = []

    async def reserve(self, wanted: Sequence[Reservation]) -> list[float]:
        self.amounts += [reservation.amount for reservation in wanted]
        return [-reservation.seconds for reservation in wanted]


def test_rate_limiter_allows_a_second_at_once_and_then_its_rate() -> None:
    async def scenario() -> None:
        limiter, now = RateLimiter(1200, None), asyncio.get_running_loop().time
        start, moments = now(), list[float]()

        async def call() -> None:
            await limiter.acquire(1)
            moments.append(now() - start)

        await asyncio.gather(*(call() for _ in range(30)))
        assert moments[20] < 0.3
        assert 0.4 < moments[29] < 1.5

    virtual_time.run(scenario())


def test_rate_limiter_without_limits_never_waits() -> None:
    async def scenario() -> None:
        assert await RateLimiter(None, None).acquire(1000) == 1000 + 512

    virtual_time.run(scenario())


def test_rate_limiter_corrects_reservations_by_usage() -> None:
    async def scenario() -> None:
        recorded = RecordingRateLimit()
        limiter = RateLimiter(None, 6000)
        limiter.rate_limit = recorded
        reserved = await limiter.acquire(100)
        limiter.settle(reserved, 50, 10)
        again = await limiter.acquire(100)
        assert recorded.amounts == [reserved, again - (reserved - 50)]
        for _ in range(400):
            limiter.settle(0, 0, 10)
        assert await limiter.acquire(0) == pytest.approx(10, abs=1)

    virtual_time.run(scenario())


def test_rate_limiter_reserves_a_second_at_a_time_for_waiting_calls() -> None:
    async def scenario() -> None:
        recorded = RecordingRateLimit()
        limiter = RateLimiter(1200, None)
        limiter.rate_limit = recorded
        calls = [asyncio.create_task(limiter.acquire(1)) for _ in range(45)]
        await asyncio.sleep(0)
        for call in calls[:3]:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert recorded.amounts == [20, 20, 2]

    virtual_time.run(scenario())


def test_rate_limiter_does_not_starve_a_long_prompt() -> None:
    async def scenario() -> None:
        limiter, order = RateLimiter(None, 60_000), list[int]()
        for _ in range(400):
            limiter.settle(0, 0, 0)

        async def call(number: int, tokens: int) -> None:
            await limiter.acquire(tokens)
            order.append(number)

        await asyncio.gather(*(call(n, 1500 if n == 1 else 10) for n in range(6)))
        assert order == list(range(6))

    virtual_time.run(scenario())


def test_rate_limiters_that_share_a_limit_alternate() -> None:
    """Each of four has more calls than there is time for; after the start all get the same."""
    rate = 6000 / 60
    admitted = [0] * 4

    async def call(number: int, limiter: RateLimiter) -> None:
        await limiter.acquire(1)
        admitted[number] += 1

    async def scenario() -> list[int]:
        shared = LocalRateLimit()
        limiters = [RateLimiter(6000, None) for _ in admitted]
        for limiter in limiters:
            limiter.rate_limit = shared
        calls = [
            asyncio.create_task(call(number, limiter))
            for number, limiter in enumerate(limiters)
            for _ in range(1000)
        ]
        await asyncio.sleep(5.5)
        before = list(admitted)
        await asyncio.sleep(8)
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return [after - earlier for after, earlier in zip(admitted, before, strict=True)]

    assert virtual_time.run(scenario()) == pytest.approx([2 * rate] * 4, abs=1)
    assert sum(admitted) == pytest.approx(rate * (5.5 + 8 + BURST_SECONDS), abs=1)
