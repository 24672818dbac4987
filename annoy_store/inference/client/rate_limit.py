"""Budgets per minute that a provider sets: requests and tokens, spent in the order of asking.

Decisions
- A budget is a timeline on which each unit has its moment. Whoever keeps it hands out the next
  free stretch: this process alone (`OwnTimeline`), or the store for all workers
  (inference/shared_rate_limit.py).
- A stretch is booked for calls that wait, for at most a second of the budget, and the next one
  when its last moment has come. So those who share take turns of equal length, booking costs
  about a transaction a second however many they are, nothing is booked that nobody wants, and
  the stretch of a worker that died is over when its time is.
- What went by unused in the last second may still be spent at once, not more.
- A call books an estimate of its tokens; what its usage says corrects the next stretch. So big
  prompts wait their turn instead of starving.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from annoy_store.errors import JobReturned

BURST_SECONDS = 1.0
_GROUP_SECONDS = 1.0
_INITIAL_COMPLETION_TOKENS = 512.0


@dataclass(frozen=True)
class Reservation:
    """Units of one budget, to be spent one after the other."""

    unit: str  # requests | tokens
    per_minute: int
    amount: float

    @property
    def seconds(self) -> float:
        """Return how long the budget takes to make good for them."""
        return 60 * self.amount / self.per_minute


class RateLimit(Protocol):
    """Keeps up to when each budget of one endpoint and model is given away."""

    async def reserve(self, wanted: Sequence[Reservation]) -> list[float]:
        """Give away the next stretch of each; return in how many seconds they begin (or began)."""


class LocalRateLimit:
    """The timeline of one process."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}

    async def reserve(self, wanted: Sequence[Reservation]) -> list[float]:
        now = _now()
        earliest = now - BURST_SECONDS
        begins = [max(self._ends.get(s.unit, earliest), earliest) for s in wanted]
        for stretch, begin in zip(wanted, begins, strict=True):
            self._ends[stretch.unit] = begin + stretch.seconds
        return [begin - now for begin in begins]


class RateLimiter:
    """The budgets of one endpoint and model. Belongs to one event loop."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._per_minute = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        self.rate_limit: RateLimit = LocalRateLimit()
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._dispatcher: asyncio.Task[None] | None = None
        self._mean_completion_tokens = _INITIAL_COMPLETION_TOKENS
        self._unused_tokens = 0.0  # tokens that were booked and not used

    async def acquire(self, prompt_tokens: int) -> float:
        """Wait for the moment of one call; return the tokens that it was booked with."""
        tokens = prompt_tokens + self._mean_completion_tokens
        if any(self._per_minute.values()):
            moment = asyncio.get_running_loop().create_future()
            self._waiting.append((tokens, moment))
            if self._dispatcher is None or self._dispatcher.done():
                self._dispatcher = asyncio.create_task(self._dispatch())
            await moment
        return tokens

    def settle(self, reserved: float, used: int | None, answer: int | None) -> None:
        """Correct a reservation by the usage; `used` None (nothing told) keeps it."""
        if answer is not None:
            self._mean_completion_tokens += 0.05 * (answer - self._mean_completion_tokens)
        if used is not None:
            self._unused_tokens += reserved - used

    def close(self, end: JobReturned) -> None:
        """Let all who wait have `end`."""
        if self._dispatcher is not None:
            self._dispatcher.cancel()
        self._fail(lambda: type(end)(*end.args))

    async def _dispatch(self) -> None:
        """Book for those who wait, and let each in when its moment comes."""
        try:
            while block := self._next_group():
                for moment in await self._reserve(block):
                    if (wait := moment - _now()) > 0:
                        await asyncio.sleep(wait)
                    _, waiter = self._waiting.popleft()
                    if not waiter.done():
                        waiter.set_result(None)
        except Exception as error:
            broken = error
            self._fail(lambda: broken)

    def _next_group(self) -> list[float]:
        """Return the tokens of those who are next: a second's worth, but one at least."""
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        block: list[float] = []
        total = 0.0
        for tokens, _ in self._waiting:
            total += tokens
            longest = max(s.seconds for s in self._reservations(len(block) + 1, total))
            if block and longest > _GROUP_SECONDS:
                break
            block.append(tokens)
        return block

    async def _reserve(self, block: Sequence[float]) -> list[float]:
        """Return the moments, by the loop's clock, of calls that need so many tokens each."""
        surplus, self._unused_tokens = self._unused_tokens, 0.0
        begins = await self.rate_limit.reserve(self._reservations(len(block), sum(block) - surplus))
        now, before, moments = _now(), -surplus, []
        for place, tokens in enumerate(block):
            spent = self._reservations(place, before)
            moments.append(now + max(b + s.seconds for b, s in zip(begins, spent, strict=True)))
            before += tokens
        return moments

    def _reservations(self, requests: float, tokens: float) -> list[Reservation]:
        units = {"requests": requests, "tokens": tokens}
        return [Reservation(w, most, units[w]) for w, most in self._per_minute.items() if most]

    def _fail(self, error: Callable[[], Exception]) -> None:
        while self._waiting:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error())


def _now() -> float:
    return asyncio.get_running_loop().time()
