"""Calls of one beginning: the first fills the provider's prefix cache for the others."""

from __future__ import annotations

import asyncio

import pytest

from annoy_store.errors import CallPostponed
from annoy_store.interfaces import CallResult, Request
from tests.inference.backends.loopback import serving, timed_ask_all
from tests.support import virtual_time
from tests.support.provider import Provider


def siblings(families: int, each: int) -> list[Request]:
    """Return prompts of families that share a long beginning, one family after the other."""
    return [
        Request(
            f * each + i, "predict_output", [{"role": "user", "content": f"{f}" * 2000 + f"{i}"}], i
        )
        for f in range(families)
        for i in range(each)
    ]


def test_prefix_gate_lets_siblings_use_the_cache(provider: Provider) -> None:
    provider.behave(latency=0.2)
    asked, seconds = timed_ask_all(provider, siblings(8, 6))
    cached = [a.attempts[0].cached_tokens for a in asked]
    assert cached == [0, *[448] * 5] * 8
    # the first of each family, then the others, of which at most 32 at once
    assert seconds == pytest.approx(0.6, abs=0.02)


def test_prefix_gate_waits_for_the_head_start_only(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annoy_store.inference.backends.openai.HEAD_START_SECONDS", 0.3)
    provider.behave(latency=1.0)
    asked, seconds = timed_ask_all(provider, siblings(1, 4))
    assert [a.status for a in asked] == ["answered"] * 4
    assert seconds == pytest.approx(1.3, abs=0.02)


def test_prefix_gate_opens_when_the_first_call_fails(provider: Provider) -> None:
    provider.behave(fault="400")
    assert {a.status for a in timed_ask_all(provider, siblings(1, 4))[0]} == {"failed"}


def test_prefix_gate_releases_waiting_calls_on_drain(provider: Provider) -> None:
    async def work() -> list[CallResult | BaseException]:
        async with serving(provider) as teacher:
            calls = [asyncio.create_task(teacher.ask(r)) for r in siblings(1, 3)]
            await asyncio.sleep(0.1)
            teacher.drain()
            return await asyncio.gather(*calls, return_exceptions=True)

    provider.behave(latency=0.5)
    first, *others = virtual_time.run(work())
    assert isinstance(first, CallResult)
    assert [type(other) for other in others] == [CallPostponed, CallPostponed]
