"""Admission of calls to an endpoint, in the order of asking.

It joins the concurrency limit, the rate limits, the circuit breaker and the rule about refusals,
and lives in one event loop. A call that waits for its next try, or for what others get, holds no
permit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from annoy_store.errors import JobReturned
from annoy_store.inference.client.circuit_breaker import CircuitBreaker
from annoy_store.inference.client.concurrency import AdaptiveConcurrency
from annoy_store.inference.client.errors import CallError, ErrorKind
from annoy_store.inference.client.limited_call import (
    NOTICE_SECONDS,
    LimitedCall,
    LimitedEndpoint,
)
from annoy_store.inference.client.outage import Outage
from annoy_store.inference.client.rate_limit import RateLimiter
from annoy_store.inference.client.refusals import RefusalRule
from annoy_store.inference.client.usage import NO_USAGE, TokenUsage

T = TypeVar("T")
_MAX_LIMITED_ASIDE = 16  # an endpoint that limits all calls gets no more than these
LEFTOVER_SECONDS = 1.0  # without a new call, after which refusals have none to compare with


@dataclass(frozen=True)
class Permit:
    """Permission to send one try.

    Attributes:
        number: The number of the try, in the order of sending.
        rank: How many calls were in flight when it was sent, itself included.
        epoch: The epoch of the concurrency limit at that time.
        reserved_tokens: Tokens that were reserved of the rate limit.
        acquired_at: The time by the loop's clock, in seconds.
    """

    number: int
    rank: int
    epoch: int
    reserved_tokens: float
    acquired_at: float


class RequestLimiter:
    """Admits calls and adapts to their results.

    Args:
        concurrency: The limit of calls in flight.
        rate_limiter: The limits per minute.
        breaker: The circuit breaker.
    """

    def __init__(
        self, concurrency: AdaptiveConcurrency, rate_limiter: RateLimiter, breaker: CircuitBreaker
    ) -> None:
        self._concurrency = concurrency
        self._rate_limiter = rate_limiter
        self._breaker = breaker
        self._limited = LimitedEndpoint()
        self._outage = Outage()
        self._refusals = RefusalRule()
        self._undecided: dict[int, asyncio.Future[bool]] = {}
        self._leftover_timer: asyncio.TimerHandle | None = None
        self._n_calls = 0
        self._clock: Callable[[], float] = lambda: 0.0  # of the loop, from the first call on
        self._queue: deque[asyncio.Future[int]] = deque()
        self._closed = asyncio.Event()
        self._close_error: JobReturned | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.in_flight = 0
        self.n_waiting = 0

    @property
    def capacity(self) -> int:
        """Return how many calls are worth holding: those in flight, and some that wait.

        If every waiting call were replaced, an endpoint that rejects many would get ever more.
        """
        n_waiting = max(0, self.n_waiting - self.n_set_aside)
        return self._concurrency.limit + min(n_waiting, self._concurrency.limit) + self.n_set_aside

    @property
    def connections(self) -> tuple[int, int]:
        """Return how many calls are in flight, and how many may be; other threads may ask."""
        return self.in_flight, self._concurrency.limit

    @property
    def n_set_aside(self) -> int:
        """Return how many calls wait for what others get: the others need a place beside them."""
        return len(self._undecided) + min(self._limited.n_limited, _MAX_LIMITED_ASIDE)

    async def acquire(self, prompt_tokens: int) -> Permit:
        """Wait for permission to send one try.

        Args:
            prompt_tokens: An estimate of the tokens of its prompt.

        Returns:
            The permit, to be given to one of the release methods.

        Raises:
            JobReturned: The limiter was closed with this error.
        """
        self._raise_if_closed()
        reserved = await self.wait_for(self._rate_limiter.acquire(prompt_tokens))
        if self._queue or not self._has_capacity():
            number = await self._wait_in_queue()
        else:
            number = self._send()
        return Permit(number, self.in_flight, self._concurrency.epoch, reserved, _now())

    def release(self, permit: Permit, kind: ErrorKind | None, usage: TokenUsage = NO_USAGE) -> None:
        """Record the end of a try that reached the endpoint.

        Args:
            permit: The permit of the try.
            kind: The kind of its error; None for an answer.
            usage: The tokens that it used.
        """
        if kind in (None, "rejected"):
            self._outage.answered(_now())
            self._resolve(self._refusals.answered(permit.number), is_own=True)
        else:
            self._refusals.ended(permit.number)
        self._record_reply(permit, kind, usage)

    def _record_reply(self, permit: Permit, kind: ErrorKind | None, usage: TokenUsage) -> None:
        now = _now()
        used = 0 if kind == "limited" else usage.total
        self._rate_limiter.settle(permit.reserved_tokens, used, usage.completion)
        if kind in (None, "rejected", "refused"):
            self._breaker.record_success()
            self._concurrency.record_success(permit.epoch, self.in_flight, now)
        elif kind == "limited":
            self._breaker.record_contact()
            self._concurrency.record_rate_limited(permit.epoch, permit.rank, now)
        elif kind == "retry":
            self._breaker.record_error(now)
            self._concurrency.record_error()
        self._release(permit.number)

    def release_unreachable(self, permit: Permit) -> bool:
        """Record a try that could not reach the endpoint; return whether to give up."""
        give_up = self._breaker.record_unreachable(permit.acquired_at, _now())
        self._rate_limiter.settle(permit.reserved_tokens, 0, None)
        self.release_without_result(permit.number)
        return give_up

    def release_without_result(self, number: int) -> None:
        """Record a try that ended without a result, because it was cancelled or stopped."""
        self._refusals.ended(number)
        self._release(number)

    async def release_refused(self, permit: Permit, kind: ErrorKind, error: CallError) -> bool:
        """Record a refusal, and wait until other calls have shown whose fault it is.

        Args:
            permit: The permit of the try.
            kind: `refused`, or `retry` for a call's last try.
            error: The error.

        Returns:
            Whether it is the call's own fault; otherwise it is the endpoint's.

        Raises:
            JobReturned: The limiter was closed with this error.
        """
        verdict = self._undecided[permit.number] = asyncio.get_running_loop().create_future()
        self._resolve(self._refusals.refused(permit.number, error.likeness), is_own=True)
        self._record_reply(permit, kind, error.usage)
        self._await_leftovers()
        try:
            return await self.wait_for(verdict)
        finally:
            self._refusals.given_up(permit.number)
            self._undecided.pop(permit.number, None)

    def record_failed(self, permit: Permit, call: int, error: CallError) -> bool:
        """Record a try that got no whole answer; return whether that is the endpoint's fault.

        Args:
            permit: The permit of the try, before its release.
            call: The id of its call.
            error: The error.
        """
        if error.answer is not None:
            self._outage.answered(_now())
            return False
        return self._outage.failed(call, error.reason, permit.acquired_at)

    def is_out(self, tries: int) -> bool:
        """Return whether the endpoint has answered nothing for too long.

        Args:
            tries: How often a call is tried.
        """
        return self._outage.is_over_limit(tries, _now())

    def record_limited(self, call: LimitedCall, words: str) -> bool:
        """Record a 429 with the endpoint's words; return whether it counts as a try of its call."""
        self._limited.record_limited(call, words, _now())
        n_calls = self._n_calls - len(self._undecided)
        return call.record(self._limited.n_answers, n_calls, self._limited.n_limited)

    def record_not_limited(self, call: LimitedCall, *, is_answer: bool) -> None:
        """Record another reply than a 429."""
        self._limited.record_other(call, is_answer=is_answer)

    def limited_seconds(self) -> float:
        """Return for how many seconds the endpoint has sent 429 and no answer."""
        return self._limited.seconds(_now())

    def notice(self) -> str:
        """Return what keeps the endpoint from answering, as a sentence; empty if nothing does.

        Other threads may call it.
        """
        now = self._clock()
        if (seconds := self._breaker.outage_seconds(now)) >= NOTICE_SECONDS:
            return f"the endpoint cannot be reached for {seconds:.0f} s"
        if notice := self._outage.notice(now):
            return notice
        return self._limited.notice(now, self._concurrency.limit)

    @contextlib.contextmanager
    def call(self, limited: LimitedCall) -> Iterator[None]:
        """Count a call as under way, from its first try to its end.

        Args:
            limited: Its 429s.
        """
        self._n_calls += 1
        self._clock = asyncio.get_running_loop().time
        self._stop_leftover_timer()
        try:
            yield
        finally:
            self._n_calls -= 1
            self._limited.record_other(limited, is_answer=False)
            self._await_leftovers()

    def outage_seconds(self) -> float:
        """Return for how many seconds the endpoint has been unreachable, or has answered nothing."""
        return max(self._breaker.outage_seconds(_now()), self._outage.seconds(_now()))

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` without a permit.

        Raises:
            JobReturned: The limiter was closed with this error.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait_for(self._closed.wait())
        self._raise_if_closed()

    async def wait_for(self, awaitable: Awaitable[T]) -> T:
        """Wait for `awaitable` without a permit and return its result.

        Raises:
            JobReturned: The limiter was closed with this error.
        """
        self.n_waiting += 1
        try:
            result = await awaitable
        finally:
            self.n_waiting -= 1
        self._raise_if_closed()
        return result

    def close(self, error: JobReturned) -> None:
        """Admit no more calls: all that wait raise `error`; tries in flight go on."""
        self._close_error = self._close_error or error
        self._closed.set()
        self._rate_limiter.close(self._close_error)
        if self._timer is not None:
            self._timer.cancel()
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_exception(type(self._close_error)(*self._close_error.args))

    def _send(self) -> int:
        self.in_flight += 1
        number = self._refusals.sent()
        self._outage.sent(number)
        return number

    def _release(self, number: int) -> None:
        self.in_flight -= 1
        self._outage.ended(number)
        if self._refusals.is_endpoint_fault:
            self._resolve(list(self._undecided), is_own=False)
        self._wake_waiters()

    def _await_leftovers(self) -> None:
        """If all calls under way wait for other calls, wait for new ones, but not for long."""
        if self._undecided and len(self._undecided) == self._n_calls:
            self._stop_leftover_timer()
            loop = asyncio.get_running_loop()
            self._leftover_timer = loop.call_later(LEFTOVER_SECONDS, self._settle_leftovers)

    def _stop_leftover_timer(self) -> None:
        if self._leftover_timer is not None:
            self._leftover_timer.cancel()

    def _settle_leftovers(self) -> None:
        if len(self._undecided) == self._n_calls:
            own = self._refusals.no_call_left()
            self._resolve(own or list(self._undecided), is_own=bool(own))

    def _resolve(self, numbers: Iterable[int], *, is_own: bool) -> None:
        for number in numbers:
            if not (verdict := self._undecided[number]).done():
                verdict.set_result(is_own)

    def _raise_if_closed(self) -> None:
        if self._close_error is not None:
            raise type(self._close_error)(*self._close_error.args)

    def _has_capacity(self) -> bool:
        limit = 1 if self._breaker.is_open else self._concurrency.limit
        most = min(limit, self._refusals.max_in_flight)
        return self.in_flight < most and self._breaker.open_until <= _now()

    async def _wait_in_queue(self) -> int:
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        self._wake_waiters()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release_without_result(
                    waiter.result()
                )  # it was admitted before it was cancelled
            raise

    def _wake_waiters(self) -> None:
        """Admit as many calls as there is capacity for; run again when a pause ends."""
        while self._queue and self._has_capacity():
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(self._send())
        pause = self._breaker.open_until - _now()
        if self._queue and pause > 0 and (self._timer is None or self._timer.cancelled()):
            self._timer = asyncio.get_running_loop().call_later(pause, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._wake_waiters()


def _now() -> float:
    return asyncio.get_running_loop().time()
