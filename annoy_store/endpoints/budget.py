"""Budgets per minute that a provider sets: requests and tokens, spent in the order of asking.

A call takes an estimate before it is sent and gives back, or adds, what its usage says. A budget
may go into debt; the wait of the next call pays it off. So big prompts wait their turn instead
of starving. Two seconds of a budget may be spent at once.
"""

from __future__ import annotations

_BURST_SECONDS = 2.0
_FIRST_GUESS = 512.0


class Bucket:
    """One budget of `per_minute` units; None is no budget."""

    def __init__(self, per_minute: int | None) -> None:
        self._rate = (per_minute or 0) / 60
        self._full = _BURST_SECONDS * self._rate
        self._level = self._full
        self._at: float | None = None

    def take(self, amount: float, now: float) -> float:
        """Take `amount` and return the seconds to wait before it may be used."""
        if not self._rate:
            return 0.0
        self._refill(now)
        self._level -= amount
        return max(0.0, -self._level / self._rate)

    def give_back(self, amount: float) -> None:
        """Return `amount` (negative: take more) after the fact."""
        if self._rate:
            self._level = min(self._full, self._level + amount)

    def _refill(self, now: float) -> None:
        passed = 0.0 if self._at is None else now - self._at
        self._at = now
        self._level = min(self._full, self._level + passed * self._rate)


class Budget:
    """The budgets of one endpoint and model."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._requests = Bucket(requests_per_minute)
        self._tokens = Bucket(tokens_per_minute)
        self._mean_answer = _FIRST_GUESS

    def take(self, prompt_tokens: int, now: float) -> tuple[float, float]:
        """Reserve one call; return the seconds to wait, and the tokens that were reserved."""
        tokens = prompt_tokens + self._mean_answer
        wait = max(self._requests.take(1, now), self._tokens.take(tokens, now))
        return wait, tokens

    def settle(self, reserved: float, used: int | None, answer: int | None) -> None:
        """Correct a reservation by the usage; `used` None (nothing told) keeps it."""
        if answer is not None:
            self._mean_answer += 0.05 * (answer - self._mean_answer)
        if used is not None:
            self._tokens.give_back(reserved - used)
