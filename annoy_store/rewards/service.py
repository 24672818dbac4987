"""The scoring service of `annoy serve rewards`, for trainers in other environments and machines.

    POST /v1/score   {"items": [{"answer": .., "ground_truth": .., "finish_reason": ..}, ..]}
                     -> {"results": [{"score", "status", "mismatch", "feedback"}, ..]}
    GET  /healthz    what it runs on
    GET  /metrics    outcomes and latencies, as Prometheus reads them

Decisions
- Requests wait only up to a bound: a request that would exceed it is refused with 503 and
  Retry-After, which the client of the exports obeys. A request alone is always accepted.
- Answers of a client that went away are not scored, except those that run already.
- Ground truths are code: everybody who may send one may run code in the sandbox. A service that
  others can reach needs a token.
"""

from __future__ import annotations

import asyncio
import hmac
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from annoy_store.rewards.items import score_item
from annoy_store.rewards.process_sandbox import process_sandbox

MAX_BODY_BYTES = 32 << 20
MAX_ITEMS = 4096
WAITING_PER_SLOT = 512
_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # seconds


class _Refused(Exception):
    """A request that is not served: HTTP status, message, further headers."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


class ScoreMetrics:
    """Counts outcomes and latencies; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: Counter[str] = Counter()
        self._buckets: Counter[float] = Counter()
        self._seconds = 0.0

    def add(self, status: str, seconds: float) -> None:
        """Count one answer that was scored."""
        with self._lock:
            self._outcomes[status] += 1
            self._seconds += seconds
            for bound in _BUCKETS:
                self._buckets[bound] += seconds <= bound

    def exposition(self, waiting: int) -> str:
        """Return the metrics in the text format of Prometheus.

        Args:
            waiting: Answers that are not scored yet.
        """
        with self._lock:
            total = sum(self._outcomes.values())
            lines = ["# TYPE annoy_rewards_total counter"]
            lines += [
                f'annoy_rewards_total{{status="{status}"}} {n}'
                for status, n in sorted(self._outcomes.items())
            ]
            lines += ["# TYPE annoy_rewards_waiting gauge", f"annoy_rewards_waiting {waiting}"]
            lines += ["# TYPE annoy_reward_seconds histogram"]
            lines += [
                f'annoy_reward_seconds_bucket{{le="{bound}"}} {self._buckets[bound]}'
                for bound in _BUCKETS
            ]
            lines += [f'annoy_reward_seconds_bucket{{le="+Inf"}} {total}']
            lines += [f"annoy_reward_seconds_sum {self._seconds:.6f}"]
            return "\n".join([*lines, f"annoy_reward_seconds_count {total}"]) + "\n"


class ScoreService:
    """Scores the answers of requests in threads.

    Args:
        slots: How many answers are scored at the same time.
        token: What clients have to send as a bearer token; None for no token.
    """

    def __init__(self, slots: int, token: str | None = None) -> None:
        self.slots, self.token = slots, token
        self.metrics = ScoreMetrics()
        self._threads = ThreadPoolExecutor(slots, "annoy-reward")
        self._lock = threading.Lock()
        self._waiting = 0

    async def score(self, request: Request) -> Response:
        """Handle POST /v1/score."""
        self._authorize(request)
        items = _parse(await _body(request))
        futures = self._submit(items)
        try:
            results = await _unless_gone(request, futures)
        finally:
            for future in futures:
                future.cancel()
        return Response(orjson.dumps({"results": results}), media_type="application/json")

    async def health(self, request: Request) -> Response:
        """Handle GET /healthz."""
        info = (await asyncio.to_thread(process_sandbox.get)).info
        about = {"isolation": info.isolation, "python": info.python, "slots": self.slots}
        return JSONResponse({"status": "ok", **about, "waiting": self._waiting})

    async def expose(self, request: Request) -> Response:
        """Handle GET /metrics."""
        self._authorize(request)
        return PlainTextResponse(self.metrics.exposition(self._waiting))

    def close(self) -> None:
        """Score nothing more that does not run already."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _authorize(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if self.token is not None and not hmac.compare_digest(
            given.encode(), f"Bearer {self.token}".encode()
        ):
            raise _Refused(401, "the token is missing or wrong", **{"WWW-Authenticate": "Bearer"})

    def _submit(self, items: Sequence[Any]) -> list[Future[dict[str, Any]]]:
        with self._lock:
            if self._waiting and self._waiting + len(items) > self.slots * WAITING_PER_SLOT:
                raise _Refused(503, "all slots are busy; try again", **{"Retry-After": "1"})
            self._waiting += len(items)
        futures = [self._threads.submit(self._score, item) for item in items]
        for future in futures:
            future.add_done_callback(self._ended)
        return futures

    def _ended(self, _: Future[dict[str, Any]]) -> None:
        with self._lock:
            self._waiting -= 1

    def _score(self, item: Any) -> dict[str, Any]:
        start = time.monotonic()
        result = score_item(item)
        self.metrics.add(result["status"] or "error", time.monotonic() - start)
        return result


async def _unless_gone(
    request: Request, futures: Sequence[Future[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return the results; raise ClientDisconnect as soon as nobody waits for them."""
    results = asyncio.gather(*map(asyncio.wrap_future, futures))
    gone = asyncio.create_task(_disconnected(request))
    either: set[asyncio.Future[Any]] = {results, gone}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if results.done():
        gone.cancel()
        return results.result()
    results.cancel()
    raise ClientDisconnect


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(413, f"a request has at most {MAX_BODY_BYTES >> 20} MiB")
    return bytes(body)


def _parse(body: bytes) -> list[Any]:
    try:
        items = orjson.loads(body)["items"]
    except (ValueError, TypeError, KeyError) as error:
        raise _Refused(400, 'the body has to be JSON: {"items": [..]}') from error
    if not isinstance(items, list) or not items:
        raise _Refused(400, "items has to be a list of at least one")
    if len(items) > MAX_ITEMS:
        raise _Refused(413, f"a request has at most {MAX_ITEMS} items")
    return items


def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, _Refused)
    return JSONResponse({"error": str(error)}, error.status, headers=error.headers)


def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


def application(service: ScoreService) -> Starlette:
    """Return the web application of a service.

    Args:
        service: The service.
    """
    routes = [
        Route("/v1/score", service.score, methods=["POST"]),
        Route("/healthz", service.health),
        Route("/metrics", service.expose),
    ]
    return Starlette(routes=routes, exception_handlers={_Refused: _refuse, ClientDisconnect: _gone})
