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

from annoy_store.errors import Undone
from annoy_store.inference.client.circuit_breaker import Breaker
from annoy_store.inference.client.concurrency import AdaptiveLimit
from annoy_store.inference.client.errors import Kind
from annoy_store.inference.client.rate_limit import Budget
from annoy_store.inference.client.usage import NO_TOKENS, Tokens

T = TypeVar("T")


@dataclass(frozen=True)
class Slot:
    """Leave to send one try: `rank` is its place among the calls in flight, `at` the time."""

    rank: int
    epoch: int
    reserved: float
    at: float


class Gate:
    """Lets calls pass and learns from what becomes of them."""

    def __init__(self, limit: AdaptiveLimit, budget: Budget, breaker: Breaker) -> None:
        self._limit = limit
        self._budget = budget
        self._breaker = breaker
        self._queue: deque[asyncio.Future[None]] = deque()
        self._over = asyncio.Event()
        self._end: Undone | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self.in_flight = 0
        self.resting = 0

    @property
    def capacity(self) -> int:
        """Return how many calls are worth holding: those that may fly, and some at rest.

        Were all that rest replaced, an endpoint that refuses much would be asked ever more.
        """
        return self._limit.limit + min(self.resting, self._limit.limit)

    async def enter(self, prompt_tokens: int) -> Slot:
        """Wait for leave to send. Raises what the gate was closed with."""
        self._check()
        reserved = await self.outside(self._budget.take(prompt_tokens))
        if self._queue or not self._free():
            await self._queued()
        else:
            self.in_flight += 1
        return Slot(self.in_flight, self._limit.epoch, reserved, _now())

    def leave(self, slot: Slot, kind: Kind | None, tokens: Tokens = NO_TOKENS) -> None:
        """Note the end of a try: `kind` is its fault, None an answer."""
        now = _now()
        used = 0 if kind == "limited" else tokens.total
        self._budget.settle(slot.reserved, used, tokens.completion)
        if kind in (None, "rejected", "refused"):
            self._breaker.answered()
            self._limit.answered(slot.epoch, self.in_flight, now)
        elif kind == "limited":
            self._breaker.contacted()
            self._limit.refused(slot.epoch, slot.rank, now)
        elif kind == "retry":
            self._breaker.troubled(now)
            self._limit.troubled()
        self.give_up()

    def lost(self, slot: Slot) -> bool:
        """Note a try that found nobody at the endpoint; say whether to stop trying."""
        hopeless = self._breaker.unreachable(slot.at, _now())
        self._budget.settle(slot.reserved, 0, None)
        self.give_up()
        return hopeless

    def give_up(self) -> None:
        """Leave without having learnt anything (cancelled, or stopped)."""
        self.in_flight -= 1
        self._wake()

    def down_for(self) -> float:
        """Return for how many seconds the endpoint has been out of reach."""
        return self._breaker.down_for(_now())

    async def rest(self, seconds: float) -> None:
        """Wait outside for `seconds`. Raises what the gate was closed with."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.outside(self._over.wait())
        self._check()

    async def outside(self, something: Awaitable[T]) -> T:
        """Wait for `something` without taking a place. Raises what the gate was closed with."""
        self.resting += 1
        try:
            result = await something
        finally:
            self.resting -= 1
        self._check()
        return result

    def close(self, end: Undone) -> None:
        """Let nobody pass any more: all who wait get `end`; tries under way are not touched."""
        self._end = self._end or end
        self._over.set()
        self._budget.close(self._end)
        if self._alarm is not None:
            self._alarm.cancel()
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_exception(type(self._end)(*self._end.args))

    def _check(self) -> None:
        if self._end is not None:
            raise type(self._end)(*self._end.args)

    def _free(self) -> bool:
        most = 1 if self._breaker.open else self._limit.limit
        return self.in_flight < most and self._breaker.open_until <= _now()

    async def _queued(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        self._wake()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_up()  # the place was ours already
            raise

    def _wake(self) -> None:
        """Let in as many as there is room for; call again when a pause ends."""
        while self._queue and self._free():
            waiter = self._queue.popleft()
            if not waiter.done():
                self.in_flight += 1
                waiter.set_result(None)
        pause = self._breaker.open_until - _now()
        if self._queue and pause > 0 and (self._alarm is None or self._alarm.cancelled()):
            self._alarm = asyncio.get_running_loop().call_later(pause, self._alarm_rang)

    def _alarm_rang(self) -> None:
        self._alarm = None
        self._wake()


def _now() -> float:
    return asyncio.get_running_loop().time()
