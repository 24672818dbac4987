"""A limit per minute (requests or tokens), as providers keep it."""

from __future__ import annotations

BURST_SECONDS = 2


class TokenBucket:
    """A token bucket that holds two seconds of its rate. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self._level: float | None = None
        self._updated_at = 0.0

    def take(self, amount: float, per_minute: int, now: float) -> float:
        """Take `amount`; return 0, or the seconds until there would be enough."""
        rate = per_minute / 60
        full = max(BURST_SECONDS * rate, amount)
        if self._level is None:
            self._level = full
        else:
            self._level = min(full, self._level + (now - self._updated_at) * rate)
        self._updated_at = now
        if self._level < amount:
            return (amount - self._level) / rate
        self._level -= amount
        return 0.0
