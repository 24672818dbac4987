"""HTTP transport by the `openai` package: sends and receives bodies; all else is a CallError.

This is the only module that knows which HTTP library is below.

Decisions (measured; CPU per call)
- One client per endpoint, on the package's aiohttp transport: the default one costs more the more
  calls are in flight, and a client per call forty times as much.
- The transport silently takes 100 connections for an unlimited number, so a number is given.
- The package knows how to connect and to authenticate; a body goes straight through the HTTP
  client that it uses. Its typed calls cost four times as much, its untyped `post` twice.
- So retries are ours as well, and the time limit of a try is total: the HTTP client's own counts
  per read, and a slow body or a provider's blank lines would stretch it without end.
- Requests to this machine itself go through no proxy; all others through those that the environment
  names.
- Idle connections are closed sooner than uvicorn (vLLM, SGLang) closes them, which is after 5 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient

from annoy_store.errors import UsageError
from annoy_store.inference.client.base_url import is_loopback
from annoy_store.inference.client.errors import CallError, error_from_status
from annoy_store.inference.client.providers import Endpoint

_CONNECT_SECONDS = 30.0
_IDLE_SECONDS = 4.0
_SPARE_CONNECTIONS = 16
_CONNECT_ERRORS = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_PROXY_ERRORS = (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")


class Transport:
    """The connections to one endpoint. Belongs to one event loop.

    Args:
        endpoint: Where to send requests.
        max_connections: How many requests may be in flight.
        call_seconds: The total time limit of one request, in seconds.
    """

    def __init__(self, endpoint: Endpoint, max_connections: int, call_seconds: float) -> None:
        self._http = _http_client(endpoint, max_connections, call_seconds)
        self._client = openai_client(endpoint, self._http)
        url = httpx2.URL(f"{endpoint.base_url}/chat/completions")
        self._url = url.copy_merge_params(endpoint.query)
        known = {**self._client.default_headers, **self._client.auth_headers}
        self._headers = {name: value for name, value in known.items() if isinstance(value, str)}
        self._seconds = call_seconds

    async def post(self, content: bytes) -> bytes:
        """Send a chat completion request.

        Args:
            content: The request body, as JSON.

        Returns:
            The body of the response.

        Raises:
            CallError: There was no response in time, or one with an error status.
        """
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._http.post(self._url, content=content, headers=self._headers)
        except TimeoutError:
            message = f"no whole answer in {self._seconds:g} s"
            raise CallError("retry", "deadline", message) from None
        except (httpx2.HTTPError, aiohttp.ClientError) as error:
            raise connection_error(error) from None
        if response.status_code >= 300:
            raise _response_error(response)
        return response.content

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def openai_client(endpoint: Endpoint, http: httpx2.AsyncClient) -> AsyncOpenAI:
    """Return the package's client for `endpoint`, which never retries by itself."""
    return AsyncOpenAI(
        api_key=endpoint.key,
        admin_api_key="",  # keeps the package from sending one that it finds in the environment
        base_url=endpoint.base_url,
        default_query=endpoint.query,
        max_retries=0,
        http_client=http,
    )


def _http_client(
    endpoint: Endpoint, max_connections: int, call_seconds: float
) -> httpx2.AsyncClient:
    most = max_connections + _SPARE_CONNECTIONS
    limits = httpx2.Limits(
        max_connections=most, max_keepalive_connections=most, keepalive_expiry=_IDLE_SECONDS
    )
    timeout = httpx2.Timeout(call_seconds + 5, connect=_CONNECT_SECONDS)
    with checked_proxies(endpoint) as trust_env:
        return DefaultAioHttpClient(
            limits=limits, timeout=timeout, verify=ssl_context(), trust_env=trust_env
        )


def _response_error(response: httpx2.Response) -> CallError:
    try:
        body = json.loads(response.content)
    except ValueError:
        body = response.text
    return error_from_status(response.status_code, body, response.headers, time.time())


def connection_error(error: BaseException) -> CallError:
    """Return what a failed request means: no connection, one that is refused, or one that broke.

    Args:
        error: The error of the HTTP client; those that caused it say more.
    """
    causes = list(_causes(error))
    for cause in causes:
        message = f"{type(cause).__name__}: {cause}"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CallError("stop", "certificate", getattr(cause, "verify_message", message))
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", "") in _NO_TLS:
            return CallError("stop", "no_tls", message)
        if isinstance(cause, _PROXY_ERRORS):
            return CallError("unreachable", "proxy", message)
    for cause in causes:
        message = f"{type(cause).__name__}: {cause}"
        if isinstance(cause, _CONNECT_ERRORS):
            return CallError("unreachable", "unreachable", message)
    return CallError("retry", "connection", message)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that caused it."""
    while error is not None:
        yield error
        inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
        if isinstance(inner, BaseException):
            yield inner
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def checked_proxies(endpoint: Endpoint) -> Iterator[bool]:
    """Say whether requests to `endpoint` may go through proxies that the environment names.

    Raises:
        UsageError: Such a proxy cannot be used.
    """
    if is_loopback(endpoint.base_url):
        yield False
        return
    proxies = getproxies()
    try:
        for url in filter(None, map(proxies.get, ("http", "https", "all"))):
            urlsplit(url if "://" in url else f"http://{url}").port  # noqa: B018  (it is checked)
        yield True
    except (ValueError, ImportError, httpx2.InvalidURL) as error:
        raise UsageError(
            f"a proxy cannot be used ({error}): check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or "
            "except the endpoint with NO_PROXY"
        ) from None


@cache
def ssl_context() -> ssl.SSLContext:
    """Return the SSL context that all clients share; making one takes tens of milliseconds.

    Raises:
        UsageError: The certificates that the environment names cannot be read.
    """
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        raise UsageError(
            f"the certificates cannot be read ({error}): check SSL_CERT_FILE and SSL_CERT_DIR"
        ) from None
