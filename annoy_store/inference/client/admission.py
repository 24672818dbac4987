"""The gate before an endpoint: who may send now, in the order of asking.

It joins the limit of calls in flight, the budgets per minute and the circuit breaker, and lives
in one event loop. A call that waits to try again stands outside, so that it takes nobody's place.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from annoy_store.errors import JobReturned
from annoy_store.inference.client.circuit_breaker import CircuitBreaker
from annoy_store.inference.client.concurrency import AdaptiveConcurrency
from annoy_store.inference.client.errors import ErrorKind
from annoy_store.inference.client.rate_limit import RateLimiter
from annoy_store.inference.client.usage import NO_USAGE, TokenUsage

T = TypeVar("T")


@dataclass(frozen=True)
class Permit:
    """Leave to send one try: `rank` is its place among the calls in flight, `at` the time."""

    rank: int
    epoch: int
    reserved_tokens: float
    acquired_at: float


class RequestLimiter:
    """Lets calls pass and learns from what becomes of them."""

    def __init__(
        self, limit: AdaptiveConcurrency, budget: RateLimiter, breaker: CircuitBreaker
    ) -> None:
        self._limit = limit
        self._rate_limiter = budget
        self._breaker = breaker
        self._queue: deque[asyncio.Future[None]] = deque()
        self._closed = asyncio.Event()
        self._close_error: JobReturned | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.in_flight = 0
        self.n_waiting = 0

    @property
    def capacity(self) -> int:
        """Return how many calls are worth holding: those that may fly, and some at rest.

        Were all that rest replaced, an endpoint that refuses much would be asked ever more.
        """
        return self._limit.limit + min(self.n_waiting, self._limit.limit)

    async def acquire(self, prompt_tokens: int) -> Permit:
        """Wait for leave to send. Raises what the gate was closed with."""
        self._raise_if_closed()
        reserved = await self.wait_for(self._rate_limiter.acquire(prompt_tokens))
        if self._queue or not self._has_capacity():
            await self._wait_in_queue()
        else:
            self.in_flight += 1
        return Permit(self.in_flight, self._limit.epoch, reserved, _now())

    def release(self, slot: Permit, kind: ErrorKind | None, tokens: TokenUsage = NO_USAGE) -> None:
        """Note the end of a try: `kind` is its fault, None an answer."""
        now = _now()
        used = 0 if kind == "limited" else tokens.total
        self._rate_limiter.settle(slot.reserved_tokens, used, tokens.completion)
        if kind in (None, "rejected", "refused"):
            self._breaker.record_success()
            self._limit.record_success(slot.epoch, self.in_flight, now)
        elif kind == "limited":
            self._breaker.record_contact()
            self._limit.record_rate_limited(slot.epoch, slot.rank, now)
        elif kind == "retry":
            self._breaker.record_error(now)
            self._limit.record_error()
        self.release_without_result()

    def release_unreachable(self, slot: Permit) -> bool:
        """Note a try that found nobody at the endpoint; say whether to stop trying."""
        hopeless = self._breaker.record_unreachable(slot.acquired_at, _now())
        self._rate_limiter.settle(slot.reserved_tokens, 0, None)
        self.release_without_result()
        return hopeless

    def release_without_result(self) -> None:
        """Leave without having learnt anything (cancelled, or stopped)."""
        self.in_flight -= 1
        self._wake_waiters()

    def outage_seconds(self) -> float:
        """Return for how many seconds the endpoint has been out of reach."""
        return self._breaker.outage_seconds(_now())

    async def sleep(self, seconds: float) -> None:
        """Wait outside for `seconds`. Raises what the gate was closed with."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait_for(self._closed.wait())
        self._raise_if_closed()

    async def wait_for(self, something: Awaitable[T]) -> T:
        """Wait for `something` without taking a place. Raises what the gate was closed with."""
        self.n_waiting += 1
        try:
            result = await something
        finally:
            self.n_waiting -= 1
        self._raise_if_closed()
        return result

    def close(self, end: JobReturned) -> None:
        """Let nobody pass any more: all who wait get `end`; tries under way are not touched."""
        self._close_error = self._close_error or end
        self._closed.set()
        self._rate_limiter.close(self._close_error)
        if self._timer is not None:
            self._timer.cancel()
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_exception(type(self._close_error)(*self._close_error.args))

    def _raise_if_closed(self) -> None:
        if self._close_error is not None:
            raise type(self._close_error)(*self._close_error.args)

    def _has_capacity(self) -> bool:
        most = 1 if self._breaker.is_open else self._limit.limit
        return self.in_flight < most and self._breaker.open_until <= _now()

    async def _wait_in_queue(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        self._wake_waiters()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release_without_result()  # the place was ours already
            raise

    def _wake_waiters(self) -> None:
        """Let in as many as there is room for; call again when a pause ends."""
        while self._queue and self._has_capacity():
            waiter = self._queue.popleft()
            if not waiter.done():
                self.in_flight += 1
                waiter.set_result(None)
        pause = self._breaker.open_until - _now()
        if self._queue and pause > 0 and (self._timer is None or self._timer.cancelled()):
            self._timer = asyncio.get_running_loop().call_later(pause, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._wake_waiters()


def _now() -> float:
    return asyncio.get_running_loop().time()
