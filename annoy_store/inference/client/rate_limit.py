"""Rate limits that a provider sets, in requests and tokens per minute.

Decisions
- A rate limit is a timeline on which each unit has its moment. Its keeper assigns the next
  free interval: this process alone (`LocalRateLimit`), or the store for all workers
  (shared_rate_limit.py).
- An interval is reserved for calls that wait, for at most a second of the limit, and the next one
  when its last moment has come. So workers that share a limit alternate at equal intervals,
  reserving costs about a transaction a second however many they are, nothing is reserved that no
  call needs, and the interval of a worker that died ends when its time is over.
- What was left unused in the last second may still be spent at once, not more.
- A call reserves an estimate of its tokens; its reported usage corrects the next reservation. So
  long prompts are served in order and do not starve.
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
    """Units of one rate limit, to be spent one after the other.

    Attributes:
        unit: What is limited: `requests` or `tokens`.
        per_minute: The rate limit, in units per minute.
        amount: How many units; a negative number gives back what was reserved before.
    """

    unit: str
    per_minute: int
    amount: float

    @property
    def seconds(self) -> float:
        """Return how many seconds of the rate limit the units take."""
        return 60 * self.amount / self.per_minute


class RateLimit(Protocol):
    """Keeps up to which moment each rate limit of one endpoint and model is reserved."""

    async def reserve(self, wanted: Sequence[Reservation]) -> list[float]:
        """Reserve the next interval of each limit.

        Returns:
            In how many seconds each interval begins; negative if it has begun.
        """


class LocalRateLimit:
    """The rate limits of one process."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}

    async def reserve(self, wanted: Sequence[Reservation]) -> list[float]:
        """Reserve the next interval of each limit; return seconds until each begins."""
        now = _now()
        earliest = now - BURST_SECONDS
        begins = [max(self._ends.get(r.unit, earliest), earliest) for r in wanted]
        for reservation, begin in zip(wanted, begins, strict=True):
            self._ends[reservation.unit] = begin + reservation.seconds
        return [begin - now for begin in begins]


class RateLimiter:
    """Delays calls to one endpoint and model to its rate limits. Belongs to one event loop.

    Args:
        requests_per_minute: The limit of requests, or None.
        tokens_per_minute: The limit of prompt and completion tokens together, or None.
    """

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._per_minute = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        self.rate_limit: RateLimit = LocalRateLimit()
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._dispatcher: asyncio.Task[None] | None = None
        self._mean_completion_tokens = _INITIAL_COMPLETION_TOKENS
        self._unused_tokens = 0.0  # reserved and not used

    async def acquire(self, prompt_tokens: int) -> float:
        """Wait until one call may be sent.

        Args:
            prompt_tokens: An estimate of the tokens of its prompt.

        Returns:
            How many tokens were reserved for it, for `settle`.

        Raises:
            JobReturned: The limiter was closed with this error.
        """
        tokens = prompt_tokens + self._mean_completion_tokens
        if any(self._per_minute.values()):
            moment = asyncio.get_running_loop().create_future()
            self._waiting.append((tokens, moment))
            if self._dispatcher is None or self._dispatcher.done():
                self._dispatcher = asyncio.create_task(self._dispatch())
            await moment
        return tokens

    def settle(
        self, reserved_tokens: float, used_tokens: int | None, completion_tokens: int | None
    ) -> None:
        """Correct the reservation of a call by its usage.

        Args:
            reserved_tokens: What `acquire` returned.
            used_tokens: Prompt and completion tokens; None (not reported) keeps the reservation.
            completion_tokens: Completion tokens, for later estimates; None if not reported.
        """
        if completion_tokens is not None:
            difference = completion_tokens - self._mean_completion_tokens
            self._mean_completion_tokens += 0.05 * difference
        if used_tokens is not None:
            self._unused_tokens += reserved_tokens - used_tokens

    def close(self, error: JobReturned) -> None:
        """End all waits with a copy of `error`."""
        if self._dispatcher is not None:
            self._dispatcher.cancel()
        self._fail(lambda: type(error)(*error.args))

    async def _dispatch(self) -> None:
        """Reserve for the calls that wait, and let each go on when its moment comes."""
        try:
            while group := self._next_group():
                for moment in await self._reserve(group):
                    if (wait := moment - _now()) > 0:
                        await asyncio.sleep(wait)
                    _, waiter = self._waiting.popleft()
                    if not waiter.done():
                        waiter.set_result(None)
        except Exception as error:
            broken = error
            self._fail(lambda: broken)

    def _next_group(self) -> list[float]:
        """Return the tokens of the next calls: a second's worth, but at least one."""
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        group: list[float] = []
        total = 0.0
        for tokens, _ in self._waiting:
            total += tokens
            longest = max(r.seconds for r in self._reservations(len(group) + 1, total))
            if group and longest > _GROUP_SECONDS:
                break
            group.append(tokens)
        return group

    async def _reserve(self, group: Sequence[float]) -> list[float]:
        """Return the moments, by the loop's clock, of calls that need so many tokens each."""
        unused, self._unused_tokens = self._unused_tokens, 0.0
        total = self._reservations(len(group), sum(group) - unused)
        begins = await self.rate_limit.reserve(total)
        now, before, moments = _now(), -unused, []
        for position, tokens in enumerate(group):
            earlier = self._reservations(position, before)
            moments.append(now + max(b + r.seconds for b, r in zip(begins, earlier, strict=True)))
            before += tokens
        return moments

    def _reservations(self, requests: float, tokens: float) -> list[Reservation]:
        amounts = {"requests": requests, "tokens": tokens}
        limits = self._per_minute.items()
        return [Reservation(unit, limit, amounts[unit]) for unit, limit in limits if limit]

    def _fail(self, error: Callable[[], Exception]) -> None:
        while self._waiting:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error())


def _now() -> float:
    return asyncio.get_running_loop().time()
