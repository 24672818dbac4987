"""The openai backend against a provider on loopback: answers, faults, and what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from annoy_store.contracts import Asked, Request, Teacher
from annoy_store.settings import RunSettings
from annoy_store.teachers import open_teacher
from tests.provider import Provider, default_answer


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().serving() as running:
        yield running


def request(number: int = 0, text: str = "what is this") -> Request:
    return Request(number, "transform", [{"role": "user", "content": f"{number}: {text}"}], number)


def settings(provider: Provider, **values: Any) -> RunSettings:
    return RunSettings(**{"model": "sim", "base_url": provider.url, **values})


def ask_all(provider: Provider, requests: list[Request], **values: Any) -> list[Asked]:
    """Ask everything at once with one teacher and close it."""

    async def run() -> list[Asked]:
        teacher: Teacher = open_teacher(settings(provider, **values), "transform")
        try:
            return await asyncio.gather(*(teacher.ask(r) for r in requests))
        finally:
            await teacher.close()

    return asyncio.run(run())


def ask(provider: Provider, **values: Any) -> Asked:
    return ask_all(provider, [request()], **values)[0]


def test_an_answer_comes_with_its_attempt(provider: Provider) -> None:
    asked = ask(provider)
    assert asked.verdict == "answered"
    assert asked.answer is not None
    assert asked.answer.text == default_answer(request().messages, 200)
    (attempt,) = asked.attempts
    assert (attempt.status, attempt.http_status, attempt.model) == ("ok", 200, "sim")
    assert attempt.prompt_tokens
    assert attempt.completion_tokens
