"""Calls of the openai backend to a loopback provider, both on one simulated clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from annoy_store.config import RunSettings
from annoy_store.inference.backends import open_teacher
from annoy_store.inference.backends.openai import OpenAITeacher
from annoy_store.interfaces import CallResult, Request
from tests.support import virtual_time
from tests.support.provider import Provider


def request(number: int = 0, text: str = "what is this") -> Request:
    return Request(number, "transform", [{"role": "user", "content": f"{number}: {text}"}], number)


def settings(url: str, **values: Any) -> RunSettings:
    return RunSettings(**{"model": "sim", "base_url": url, "tries": 2, **values})


def open_sim(url: str, **values: Any) -> OpenAITeacher:
    teacher = open_teacher(settings(url, **values), "transform")
    assert isinstance(teacher, OpenAITeacher)
    return teacher


@asynccontextmanager
async def serving(provider: Provider, **values: Any) -> AsyncIterator[OpenAITeacher]:
    """Serve on the running loop, and open a teacher for it."""
    async with provider.serving_here():
        teacher = open_sim(provider.url, **values)
        try:
            yield teacher
        finally:
            await teacher.close()


def timed_ask_all(
    provider: Provider, requests: list[Request], **values: Any
) -> tuple[list[CallResult], float]:
    """Ask, and return the results and how many seconds of the simulated clock that took."""

    async def work() -> tuple[list[CallResult], float]:
        async with serving(provider, **values) as teacher:
            results = await asyncio.gather(*(teacher.ask(r) for r in requests))
            return results, asyncio.get_running_loop().time()

    return virtual_time.run(work())
