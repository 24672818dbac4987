"""The wire: bodies out, bodies in, by the `openai` package; everything else is a Fault.

This is the only file that knows which HTTP library is below.

Decisions (measured)
- One client per endpoint, on the package's aiohttp transport: the default one costs more the more
  calls are in flight, and a client per call forty times as much.
- The transport silently takes 100 connections for an unlimited number, so a number is given.
- Requests go through `client.post` to a whole URL, and answers come as bytes: half the cost of
  the typed call.
- The package's own retries are off; the time limit of a try is total, because the client's own
  counts per read, and a slow body or a provider's blank lines would stretch it without end.
- Idle connections are closed sooner than uvicorn (vLLM, SGLang) closes them, which is after 5 s.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp
import httpx2
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAioHttpClient

from annoy_store.teachers._faults import Fault, of_status
from annoy_store.teachers._presets import Endpoint

_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 4.0
_SPARE_CONNECTIONS = 16
_NOBODY = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class Wire:
    """One endpoint's connections."""

    def __init__(self, endpoint: Endpoint, max_connections: int, call_seconds: float) -> None:
        self._client = open_client(endpoint, max_connections, call_seconds)
        self._url = f"{endpoint.base_url}/chat/completions"
        self._seconds = call_seconds

    async def exchange(self, content: bytes) -> bytes:
        """Post `content` as a chat completion and return the body of the answer. Raises Fault."""
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._client.post(
                    self._url, cast_to=httpx2.Response, content=content
                )
        except TimeoutError:
            words = f"no whole answer in {self._seconds:g} s"
            raise Fault("retry", "deadline", words) from None
        except APIStatusError as error:
            raise _of_status_error(error) from None
        except (APIConnectionError, httpx2.RequestError, aiohttp.ClientError) as error:
            raise _of_connection_error(error) from None
        return response.content

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.close()


def open_client(endpoint: Endpoint, max_connections: int, call_seconds: float) -> AsyncOpenAI:
    """Return a client for `endpoint` that never retries by itself."""
    most = max_connections + _SPARE_CONNECTIONS
    limits = httpx2.Limits(
        max_connections=most, max_keepalive_connections=most, keepalive_expiry=_IDLE_SECONDS
    )
    timeout = httpx2.Timeout(call_seconds + 5, connect=_CONNECT_SECONDS)
    return AsyncOpenAI(
        api_key=endpoint.key,
        admin_api_key="",  # keeps the package from sending one that it finds in the environment
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=DefaultAioHttpClient(limits=limits, timeout=timeout),
    )


def _of_status_error(error: APIStatusError) -> Fault:
    body = error.body if error.body is not None else error.response.text
    return of_status(error.status_code, body, error.response.headers, time.time())


def _of_connection_error(error: BaseException) -> Fault:
    """Tell an endpoint that nobody answers at from a connection that broke."""
    words, cause = "", error.__cause__ or error
    while True:
        words = f"{type(cause).__name__}: {cause}"
        if isinstance(cause, _NOBODY):
            return Fault("unreachable", "unreachable", words)
        if cause.__cause__ is None:
            return Fault("retry", "connection", words)
        cause = cause.__cause__
