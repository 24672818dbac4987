"""How many calls one endpoint takes at a time, found by asking: slow start, then AIMD.

Decisions (measured against providers that refuse above a number in flight)
- The limit doubles every round of answers until the first refusal.
- A refusal tells where the ceiling is: just below the number in flight when that call was sent.
  The limit steps under it; if refusals go on below the ceiling, it falls by a fifth.
- Only calls sent after the last cut count (`epoch`), and one cut per `COOLDOWN`, or a burst of
  refusals would count a hundred times. Retry-After never lengthens the cooldown.
- Below the remembered ceiling the limit comes back fast, near it one call a round; after a quiet
  minute the ceiling is forgotten, for providers raise limits too.
- It grows only when four fifths of it are used, and not while every fifth try fails.
- Refusals in a thin tail do not cut, unless they keep coming.
"""

from __future__ import annotations

COOLDOWN = 1.0
MEMORY = 60.0
_USED = 0.8
_STEP = 0.95
_CUT = 0.8
_NEAR = 0.97
_FAULT_COST = 4
_PRESSURE = 8.0


class AdaptiveLimit:
    """The present limit of calls in flight, at most `cap`. Times are seconds of any one clock."""

    def __init__(self, cap: int, *, start: int = 16, fixed: bool = False) -> None:
        self._cap = cap
        self._fixed = fixed
        self._level = float(cap if fixed else min(start, cap))
        self._ceiling: float | None = None
        self._refused_at = float("-inf")
        self._cut_at = float("-inf")
        self._pressure = 0.0
        self._held = 0
        self.epoch = 0

    @property
    def limit(self) -> int:
        """Return the present limit, at least 1."""
        return int(self._level)

    def answered(self, epoch: int, used: int, now: float) -> None:
        """Note an answer to a call of `epoch`, with `used` calls in flight when it came."""
        if self._fixed or epoch != self.epoch:
            return
        self._pressure = max(0.0, self._pressure - 0.1)
        if self._held:
            self._held -= 1
        elif used >= _USED * self._level:
            self._level = min(float(self._cap), self._level + self._growth(now) / self._level)

    def troubled(self) -> None:
        """Note a try that failed without being refused: growth pauses for a few answers."""
        self._held = min(self._held + _FAULT_COST, self.limit)

    def refused(self, epoch: int, rank: int, now: float) -> None:
        """Note a 429 for a call of `epoch` that was the `rank`-th in flight when it was sent."""
        if self._fixed or epoch != self.epoch:
            return
        self._refused_at = now
        if now - self._cut_at < COOLDOWN:
            return
        if rank < self._level / 2:
            self._press(now)
        elif self._ceiling is None or rank > self._ceiling:
            self._step_under(rank - 1, now)
        else:
            self._cut(now)

    def _growth(self, now: float) -> float:
        """Return by how much the limit grows in a round, which is `limit` answers."""
        if self._ceiling is None:
            return self._level
        if now - self._refused_at > MEMORY:
            return max(1.0, self._level / 20)
        if self._level < _NEAR * self._ceiling:
            return self._level / 4
        return max(1.0, self._level / 200)

    def _press(self, now: float) -> None:
        self._pressure += 1
        if self._pressure >= _PRESSURE:
            self._cut(now)

    def _step_under(self, seen: int, now: float) -> None:
        self._ceiling = float(max(seen, 1))
        self._lower(_STEP * self._ceiling, now)

    def _cut(self, now: float) -> None:
        self._ceiling = self._level
        self._lower(_CUT * self._level, now)

    def _lower(self, level: float, now: float) -> None:
        self._level = max(1.0, min(level, self._level))
        self._cut_at = now
        self._pressure = 0.0
        self.epoch += 1
