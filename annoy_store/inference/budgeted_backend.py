"""A teacher that minds the budgets: it sets the worst case of a call aside before it asks.

The worst case is a prompt at three characters a token without a cache hit, and the longest answer
that the settings allow. What an answer used is what its usage says; where nobody told, the worst.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.states import FREE_BACKENDS
from annoy_store.errors import JobReturned
from annoy_store.inference.budgets import BudgetShare
from annoy_store.inference.prices import PER_TOKEN, Price, required_price
from annoy_store.interfaces import Attempt, CallResult, Request, Teacher, TeacherIdentity
from annoy_store.records.prompts import count_chars

_CHARS_PER_TOKEN = 3  # code has few; an estimate of the worst case must not be low
DEFAULT_MAX_TOKENS = 16_384  # where the settings set no limit


def max_prompt_tokens(request: Request) -> int:
    """Return how many tokens a prompt has at most."""
    return count_chars(request.messages) // _CHARS_PER_TOKEN + 1


@dataclass(frozen=True)
class BudgetMeter:
    """How calls count against one purse: per token, or by their price."""

    share: BudgetShare
    price: Price

    def used(self, attempts: Iterable[Attempt], asked: float) -> float:
        """Return what `attempts` used; an answer of which nobody told counts as it was `asked`."""
        untold = any(a.status == "ok" and a.completion_tokens is None for a in attempts)
        return asked if untold else sum(map(self._of, attempts))

    def max_cost(self, request: Request, longest: int) -> float:
        """Return the most that a try of `request` can use."""
        return self.price.cost(max_prompt_tokens(request), 0, longest)

    def _of(self, attempt: Attempt) -> float:
        prompt, cached = attempt.prompt_tokens or 0, attempt.cached_tokens or 0
        return self.price.cost(prompt, cached, attempt.completion_tokens or 0)


class BudgetedTeacher:
    """A teacher that asks only what the budgets still allow."""

    def __init__(
        self, teacher: Teacher, meters: Sequence[BudgetMeter], longest: int | None
    ) -> None:
        self._teacher, self._meters = teacher, meters
        self._longest = longest or DEFAULT_MAX_TOKENS

    @property
    def identity(self) -> TeacherIdentity:
        return self._teacher.identity

    @property
    def capacity(self) -> int:
        return self._teacher.capacity

    async def ask(self, request: Request) -> CallResult:
        """Answer one call, as `Teacher.ask` says. Raises NotNow when a budget is reached."""
        aside: list[tuple[BudgetMeter, float]] = []
        tried: tuple[Attempt, ...] = ()
        try:
            for meter in self._meters:
                worst = meter.max_cost(request, self._longest)
                await meter.share.reserve(worst)
                aside.append((meter, worst))
            asked = await self._teacher.ask(request)
            tried = asked.attempts
        except JobReturned as undone:
            tried = undone.rows
            raise
        except asyncio.CancelledError as gone:
            tried = gone.args
            raise
        finally:
            for meter, worst in aside:
                meter.share.settle(worst, meter.used(tried, worst))
        return asked

    def drain(self) -> None:
        for meter in self._meters:
            meter.share.drain()
        self._teacher.drain()

    async def close(self) -> None:
        await self._teacher.close()


def with_budgets(
    store: Database, teacher: Teacher, purses: Sequence[BudgetShare], settings: RunSettings
) -> Teacher:
    """Return `teacher` minding `purses`. Raises UsageError if its price is unknown."""
    who = teacher.identity
    if not purses or who.backend in FREE_BACKENDS:
        return teacher
    meters = [
        BudgetMeter(purse, required_price(store, who.model) if purse.name == "usd" else PER_TOKEN)
        for purse in purses
    ]
    return BudgetedTeacher(teacher, meters, settings.max_tokens)
