"""Teacher wrapper that reserves the maximum cost of a call before sending it.

The maximum is a prompt at three characters a token without a cache hit, and the longest answer
that the settings allow. The actual cost follows from the reported usage; an answer without usage
counts as its maximum.
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

_CHARS_PER_TOKEN = 3  # code has few; an estimate of the maximum must not be low
DEFAULT_MAX_TOKENS = 16_384  # where the settings set no limit


def max_prompt_tokens(request: Request) -> int:
    """Return an upper estimate of the tokens of a prompt."""
    return count_chars(request.messages) // _CHARS_PER_TOKEN + 1


@dataclass(frozen=True)
class BudgetMeter:
    """How calls count against one budget.

    Attributes:
        share: This worker's share of the budget.
        price: USD per million tokens, or `PER_TOKEN` for a budget of tokens.
    """

    share: BudgetShare
    price: Price

    def used(self, attempts: Iterable[Attempt], reserved: float) -> float:
        """Return what the attempts of a call used.

        Args:
            attempts: The attempts.
            reserved: What was reserved for the call, in USD or tokens: what an answer without
                usage counts as.

        Returns:
            USD or tokens, as the budget counts.
        """
        unknown = any(a.status == "ok" and a.completion_tokens is None for a in attempts)
        return reserved if unknown else sum(map(self._cost, attempts))

    def max_cost(self, request: Request, max_tokens: int) -> float:
        """Return the most that one try can use, with an answer of at most `max_tokens`."""
        return self.price.cost(max_prompt_tokens(request), 0, max_tokens)

    def _cost(self, attempt: Attempt) -> float:
        prompt, cached = attempt.prompt_tokens or 0, attempt.cached_tokens or 0
        return self.price.cost(prompt, cached, attempt.completion_tokens or 0)


class BudgetedTeacher:
    """A teacher that sends only the calls that the budgets still allow.

    Args:
        teacher: Answers the calls.
        meters: The budgets, each with the price that calls have there.
        max_tokens: The longest answer that the settings allow, in tokens; None for no limit.
    """

    def __init__(
        self, teacher: Teacher, meters: Sequence[BudgetMeter], max_tokens: int | None
    ) -> None:
        self._teacher, self._meters = teacher, meters
        self._max_tokens = max_tokens or DEFAULT_MAX_TOKENS

    @property
    def identity(self) -> TeacherIdentity:
        """Identity of the teacher."""
        return self._teacher.identity

    @property
    def capacity(self) -> int:
        """Number of calls that may be in flight."""
        return self._teacher.capacity

    @property
    def n_set_aside(self) -> int:
        """How many of its calls wait for what others get."""
        return getattr(self._teacher, "n_set_aside", 0)

    @property
    def connections(self) -> tuple[int, int] | None:
        """How many of its calls are in flight, and how many may be; None if it limits none."""
        return getattr(self._teacher, "connections", None)

    def notice(self) -> str:
        """Why the teacher answers nothing now; empty if it does."""
        return str(getattr(self._teacher, "notice", str)())

    async def ask(self, request: Request) -> CallResult:
        """Answer one call, as `Teacher.ask` describes.

        Raises:
            CallPostponed: A budget is reached.
        """
        reserved: list[tuple[BudgetMeter, float]] = []
        attempts: tuple[Attempt, ...] = ()
        try:
            for meter in self._meters:
                amount = meter.max_cost(request, self._max_tokens)
                await meter.share.reserve(amount)
                reserved.append((meter, amount))
            result = await self._teacher.ask(request)
            attempts = result.attempts
        except JobReturned as returned:
            attempts = returned.rows
            raise
        except asyncio.CancelledError as cancelled:
            attempts = cancelled.args
            raise
        finally:
            for meter, amount in reserved:
                meter.share.settle(amount, meter.used(attempts, amount))
        return result

    def drain(self) -> None:
        """Stop reserving and sending; calls in flight finish."""
        for meter in self._meters:
            meter.share.drain()
        self._teacher.drain()

    async def close(self) -> None:
        """Close the teacher."""
        await self._teacher.close()


def with_budgets(
    store: Database, teacher: Teacher, shares: Sequence[BudgetShare], settings: RunSettings
) -> Teacher:
    """Wrap a teacher so that it keeps to budgets.

    Args:
        store: Holds the price of the teacher's model.
        teacher: The teacher.
        shares: This worker's shares of the budgets.
        settings: Limits the length of an answer.

    Returns:
        The wrapper, or `teacher` itself if there is no budget or it costs nothing.

    Raises:
        UsageError: A budget is in USD and the price of the model is unknown.
    """
    identity = teacher.identity
    if not shares or identity.backend in FREE_BACKENDS:
        return teacher
    meters = [
        BudgetMeter(
            share, required_price(store, identity.model) if share.name == "usd" else PER_TOKEN
        )
        for share in shares
    ]
    return BudgetedTeacher(teacher, meters, settings.max_tokens)
