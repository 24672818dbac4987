"""Many calls at once: adaptive concurrency, and every fault in a mix."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from annoy_store.interfaces import CallResult, Request, Teacher
from tests.inference.backends.loopback import request, serving
from tests.support import virtual_time
from tests.support.provider import Provider, default_answer

MIX = {
    "429": 0.02,
    "500": 0.02,
    "reset": 0.02,
    "reset_body": 0.01,
    "truncated": 0.01,
    "html": 0.01,
    "empty": 0.01,
    "null": 0.01,
    "slow": 0.01,
    "hang": 0.002,
}


async def drive(teacher: Teacher, requests: list[Request], most: int) -> list[CallResult]:
    """Ask as a worker does: as many at a time as the teacher can use."""
    ended: list[CallResult] = []
    in_flight: set[asyncio.Task[CallResult]] = set()
    for one in requests:
        while len(in_flight) >= min(most, int(teacher.capacity * 1.1) + 1):
            finished, in_flight = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
            ended += [task.result() for task in finished]
        in_flight.add(asyncio.create_task(teacher.ask(one)))
    return ended + list(await asyncio.gather(*in_flight))


def drive_all(
    provider: Provider, n: int, most: int, **values: Any
) -> tuple[list[CallResult], float]:
    """Ask `n` calls as a worker does; return the results and the seconds that it took."""

    async def work() -> tuple[list[CallResult], float]:
        async with serving(provider, max_connections=most, **values) as teacher:
            results = await drive(teacher, [request(i) for i in range(n)], most)
            return results, asyncio.get_running_loop().time()

    return virtual_time.run(work())


@pytest.mark.slow
def test_ask_uses_a_provider_that_takes_200_to_the_full(provider: Provider) -> None:
    """Few calls are rejected, and the run takes little longer than with 200 from the start."""
    latency, n, most = 0.4, 1000, 200
    provider.behave(latency=latency, jitter=0.3, max_in_flight=most, retry_after=0.2)
    asked, seconds = drive_all(provider, n, 1000)
    stats = provider.stats()
    assert {one.status for one in asked} == {"answered"}
    assert stats["max_in_flight"] >= 160
    assert stats["counts"].get("429", 0) < 20
    assert stats["paid_twice"] == 0
    slow_start = latency * math.log2(most / 32)
    assert seconds < 1.5 * (n / most * latency + slow_start)


def check_mixed_faults(provider: Provider, n: int) -> None:
    """Ask `n` calls under mixed faults; each gets its own answer."""
    provider.behave(faults=MIX, retry_after=0.05, slow_seconds=0.2, latency=0.01)
    asked, _ = drive_all(provider, n, 64, tries=8, call_seconds=2.0)
    texts = {one.completion.text for one in asked if one.completion}
    twice = [i for i, one in enumerate(asked) if one.reason == "empty"]  # paid for both times
    assert len(twice) <= n / 100
    assert texts == {default_answer(request(i).messages, 200) for i in range(n) if i not in twice}
    stats = provider.stats()
    bad = sum(stats["counts"].get(k, 0) for k in ("reset_body", "truncated"))
    print(f"paid twice: {stats['paid_twice']} of {stats['paid']}, {bad} came in a bad body")
    late = stats["counts"].get("given_up", 0)
    assert stats["paid_twice"] <= bad + late  # another seed is another answer
    used = [a for one in asked for a in one.attempts]
    assert len(used) == stats["counts"]["requests"]


def test_ask_answers_every_call_under_mixed_faults(provider: Provider) -> None:
    check_mixed_faults(provider, 300)


@pytest.mark.slow
def test_ask_answers_5000_calls_under_mixed_faults(provider: Provider) -> None:
    check_mixed_faults(provider, 5000)
