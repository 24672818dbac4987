"""Admission: order, limits, pauses, and closing."""

from __future__ import annotations

import asyncio

import pytest

from annoy_store.errors import EndpointUnavailable
from annoy_store.inference.client.admission import Permit, RequestLimiter
from annoy_store.inference.client.circuit_breaker import UNREACHABLE_THRESHOLD, CircuitBreaker
from annoy_store.inference.client.concurrency import AdaptiveConcurrency
from annoy_store.inference.client.rate_limit import RateLimiter
from annoy_store.inference.client.usage import TokenUsage
from tests.support import virtual_time


def request_limiter(cap: int = 2, requests_per_minute: int | None = None) -> RequestLimiter:
    rate_limiter = RateLimiter(requests_per_minute, None)
    concurrency = AdaptiveConcurrency(cap, fixed=True)
    return RequestLimiter(concurrency, rate_limiter, CircuitBreaker(0.05, 0.1))


def test_limiter_admits_up_to_the_limit_in_order() -> None:
    async def scenario() -> None:
        limiter, passed, most = request_limiter(3), list[int](), 0

        async def call(number: int) -> None:
            nonlocal most
            permit = await limiter.acquire(1)
            passed.append(number)
            most = max(most, limiter.in_flight)
            await asyncio.sleep(0.001)
            limiter.release(permit, None)

        await asyncio.gather(*(call(n) for n in range(20)))
        assert passed == list(range(20))
        assert most == 3
        assert limiter.in_flight == 0

    virtual_time.run(scenario())


def test_limiter_gives_no_permit_to_a_cancelled_waiter() -> None:
    async def scenario() -> None:
        limiter = request_limiter(1)
        permit = await limiter.acquire(1)
        waiting = [asyncio.create_task(limiter.acquire(1)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        limiter.release(permit, None)
        waiting[1].cancel()  # it was admitted in this very step
        await asyncio.sleep(0.01)
        assert waiting[2].done()
        assert limiter.in_flight == 1

    virtual_time.run(scenario())


def test_limiter_close_ends_waits_and_not_calls_in_flight() -> None:
    async def scenario() -> None:
        limiter = request_limiter(1)
        permit = await limiter.acquire(1)
        queued = asyncio.create_task(limiter.acquire(1))
        sleeping = asyncio.create_task(limiter.sleep(60))
        await asyncio.sleep(0)
        limiter.close(EndpointUnavailable("enough"))
        for waiter in (queued, sleeping):
            with pytest.raises(EndpointUnavailable, match="enough"):
                await waiter
        with pytest.raises(EndpointUnavailable, match="enough"):
            await limiter.acquire(1)
        limiter.release(permit, None)
        assert limiter.in_flight == 0
        assert limiter.n_waiting == 0

    virtual_time.run(scenario())


def test_capacity_counts_waiting_calls_up_to_the_limit() -> None:
    async def scenario() -> None:
        limiter = request_limiter(2)
        sleeping = [asyncio.create_task(limiter.sleep(60)) for _ in range(5)]
        await asyncio.sleep(0)
        assert limiter.capacity == 4
        limiter.close(EndpointUnavailable("end"))
        await asyncio.gather(*sleeping, return_exceptions=True)

    virtual_time.run(scenario())


def test_limiter_probes_an_unreachable_endpoint_and_gives_up() -> None:
    async def scenario() -> None:
        limiter = request_limiter(8)
        for _ in range(UNREACHABLE_THRESHOLD):
            assert not limiter.release_unreachable(await limiter.acquire(1))
        probes = [asyncio.create_task(limiter.acquire(1)) for _ in range(3)]
        await asyncio.sleep(0.04)
        assert sum(probe.done() for probe in probes) == 1
        permit = probes[0].result()
        await asyncio.sleep(0.03)
        assert limiter.release_unreachable(permit)
        limiter.close(EndpointUnavailable("down"))
        await asyncio.gather(*probes, return_exceptions=True)

    virtual_time.run(scenario())


def test_limiter_keeps_to_the_rate_limit() -> None:
    async def scenario() -> None:
        limiter = request_limiter(100, requests_per_minute=6000)
        clock = asyncio.get_running_loop().time
        start = clock()

        async def call() -> None:
            limiter.release(await limiter.acquire(1), None, TokenUsage(1, 0, 1, 0))

        await asyncio.gather(*(call() for _ in range(130)))
        assert clock() - start >= 0.29

    virtual_time.run(scenario())


def test_limiter_close_ends_waits_for_the_rate_limit() -> None:
    async def scenario() -> None:
        limiter = request_limiter(5, requests_per_minute=1)
        calls = [asyncio.create_task(limiter.acquire(1)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert limiter.n_waiting == 2
        limiter.close(EndpointUnavailable("enough"))
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(e) for e in ended] == [Permit, EndpointUnavailable, EndpointUnavailable]

    virtual_time.run(scenario())
