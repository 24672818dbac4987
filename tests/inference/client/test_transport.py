"""Bodies over HTTP: what arrives, and what every way of not arriving is called."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.inference.client.errors import CONNECTION_ADVICE, CallError
from annoy_store.inference.client.providers import resolve_endpoint
from annoy_store.inference.client.transport import Transport, ssl_context
from tests.support import virtual_time
from tests.support.provider import Provider, default_answer
from tests.support.provider.connection import Connection, Request

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


def test_post_sends_the_query_of_the_base_url(queries: list[dict[str, str]]) -> None:
    async def work() -> None:
        provider = Provider()
        async with provider.serving_here():
            await post_to(f"{provider.url}?api-version=2024-10-21&route=eu")

    virtual_time.run(work())
    assert queries == [{"api-version": "2024-10-21", "route": "eu"}]


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The queries of all chat completions that a provider is asked for."""
    sent: list[dict[str, str]] = []
    handle = Provider.handle

    def noted(self: Provider, connection: Connection, request: Request) -> None:
        assert request.path == "/v1/chat/completions"
        sent.append(request.query)
        handle(self, connection, request)

    monkeypatch.setattr(Provider, "handle", noted)
    return sent


PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


@pytest.mark.parametrize("name", PROXIES)
def test_post_to_this_machine_goes_through_no_proxy(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert json.loads(post(Provider()))["choices"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_post_names_the_proxy_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(CallError) as caught:
        asyncio.run(post_to("http://endpoint.example:8000/v1"))
    assert (caught.value.kind, caught.value.name) == ("unreachable", "proxy")


def test_post_heeds_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "endpoint.invalid")
    with pytest.raises(CallError) as caught:
        asyncio.run(post_to("http://endpoint.invalid:8000/v1"))
    assert caught.value.name == "unreachable"


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:99999", "socks9://127.0.0.1:1"])
def test_proxy_that_is_none_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(UsageError, match="HTTP_PROXY"):
        asyncio.run(post_to("http://endpoint.example/v1"))


@pytest.fixture
def self_signed(tmp_path: Path) -> Path:
    """A certificate for localhost with its key in one file, signed by itself."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    path, key = tmp_path / "server.pem", tmp_path / "server.key"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    alternative = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-out", str(path), "-keyout", str(key)]
    subprocess.run([*command.split(), *alternative, *files], check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    return path


async def post_over_tls(certificate: Path) -> bytes:
    provider = Provider()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with provider.serving_here():
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(provider), "127.0.0.1", 0, ssl=context
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await post_to(f"https://127.0.0.1:{port}/v1")


@pytest.fixture
def _new_ssl_context() -> Iterator[None]:
    ssl_context.cache_clear()
    yield
    ssl_context.cache_clear()


@pytest.mark.usefixtures("_new_ssl_context")
def test_post_stops_at_a_self_signed_certificate(self_signed: Path) -> None:
    with pytest.raises(CallError) as caught:
        asyncio.run(post_over_tls(self_signed))
    assert (caught.value.kind, caught.value.name) == ("stop", "certificate")
    assert "SSL_CERT_FILE" in CONNECTION_ADVICE[caught.value.name]


@pytest.mark.usefixtures("_new_ssl_context")
def test_post_trusts_the_certificates_of_ssl_cert_file(
    self_signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed))
    assert json.loads(asyncio.run(post_over_tls(self_signed)))["choices"]


@pytest.mark.usefixtures("_new_ssl_context")
def test_ssl_cert_file_that_is_missing_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        asyncio.run(post_to("https://127.0.0.1:9/v1"))


def test_post_stops_at_a_server_without_tls() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def work() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await post_to(f"https://127.0.0.1:{port}/v1")

    with pytest.raises(CallError) as caught:
        asyncio.run(work())
    assert (caught.value.kind, caught.value.name) == ("stop", "no_tls")


def test_ssl_context_is_shared() -> None:
    assert ssl_context() is ssl_context()
