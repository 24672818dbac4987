"""Bodies over HTTP: what arrives, and what every way of not arriving is called."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from annoy_store.config import RunSettings
from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.providers import resolve_endpoint
from annoy_store.inference.client.transport import Transport, ssl_context
from tests.support import virtual_time
from tests.support.provider import Provider, default_answer

MESSAGES = [{"role": "user", "content": "hello"}]


def post(provider: Provider, call_seconds: float = 60.0) -> bytes:
    """Send one request to a provider, on a simulated clock."""

    async def work() -> bytes:
        async with provider.serving_here():
            return await post_to(provider.url, call_seconds)

    return virtual_time.run(work())


async def post_to(url: str, call_seconds: float = 60.0) -> bytes:
    settings = RunSettings(base_url=url, api_key_env="SIM_KEY")
    transport = Transport(resolve_endpoint(settings, "sim"), 4, call_seconds)
    try:
        return await transport.post(json.dumps({"model": "sim", "messages": MESSAGES}).encode())
    finally:
        await transport.close()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIM_KEY", "sk-loopback-4f9c1e77a2")


def test_post_returns_the_body_and_sends_the_key() -> None:
    body: dict[str, Any] = json.loads(post(Provider(key="sk-loopback-4f9c1e77a2")))
    assert body["choices"][0]["message"]["content"] == default_answer(MESSAGES, 200)


@pytest.mark.parametrize(
    ("behaviour", "kind", "name", "status"),
    [
        ({"fault": "500"}, "retry", "http_500", 500),
        ({"fault": "400"}, "refused", "http_400", 400),
        ({"fault": "429"}, "limited", "http_429", 429),
        ({"key": "sk-another"}, "stop", "http_401", 401),
        ({"fault": "reset"}, "retry", "connection", None),
        ({"fault": "reset_body"}, "retry", "connection", None),
        ({"fault": "hang"}, "retry", "deadline", None),
    ],
)
def test_post_raises_call_errors(
    behaviour: dict[str, Any], kind: str, name: str, status: int | None
) -> None:
    with pytest.raises(CallError) as caught:
        post(Provider(**behaviour))
    assert (caught.value.kind, caught.value.name, caught.value.status) == (kind, name, status)


def test_post_limits_the_total_time_of_a_slow_body() -> None:
    with pytest.raises(CallError) as caught:
        post(Provider(fault="slow", slow_seconds=8.0), call_seconds=0.4)
    assert (caught.value.name, caught.value.message) == ("deadline", "no whole answer in 0.4 s")


def test_post_is_unreachable_without_a_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(CallError) as caught:
        asyncio.run(post_to(f"http://127.0.0.1:{port}/v1"))
    assert (caught.value.kind, caught.value.name) == ("unreachable", "unreachable")


def test_ssl_context_is_shared() -> None:
    assert ssl_context() is ssl_context()
