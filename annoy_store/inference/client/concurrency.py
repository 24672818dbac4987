"""How many calls one endpoint takes at a time, found by asking: slow start, then AIMD.

Decisions (measured against providers that refuse above a number in flight)
- The limit doubles every round of answers until refusals set in.
- A refusal tells where the ceiling is: just below the number in flight when that call was sent.
  The limit steps under the lowest of them, at most to its half at once.
- Refusals press, answers relieve: one refusal among ten answers or more cuts nothing. So a
  shared account's odd refusals, or those in a thin tail, do not bring the limit down.
- Only calls sent after the last cut count (`epoch`), or a burst of refusals would count a hundred
  times. Deep cuts come one per `COOLDOWN`, which Retry-After never lengthens; small ones follow
  at once, for a busy client overrates how many of its calls are still in flight.
- Below the remembered ceiling the limit comes back fast. Near it, it goes up one step in a round
  with few refusals and in a second at the soonest: answers of 0.1 s would else outrun the cuts.
  Above it, it probes ten seconds after a cut; after a quiet minute it goes up in larger steps,
  for providers raise limits too.
- It grows only when four fifths of it are used, and not while every fifth try fails.
"""

from __future__ import annotations

COOLDOWN_SECONDS = 1.0
PROBE_SECONDS = 10.0
QUIET_SECONDS = 60.0
_MIN_UTILISATION = 0.8
_CUT_FACTOR = 0.95
_NEAR_CEILING = 0.97
_SMALL_CUT_FACTOR = 0.75
_ERROR_HOLD = 4
_REJECTION_COST = 10
_CUT_PRESSURE = 4.0
_SUCCESS_RELIEF = 0.1


class AdaptiveConcurrency:
    """The present limit of calls in flight, at most `cap`. Times are seconds of any one clock."""

    def __init__(self, cap: int, *, start: int = 32, fixed: bool = False) -> None:
        self._cap = float(cap)
        self._fixed = fixed
        self._level = float(cap if fixed else min(start, cap))
        self._ceiling: float | None = None
        self._rate_limited_at = float("-inf")
        self._cut_at = float("-inf")
        self._stepped_at = float("-inf")
        self._lowest_rank = float("inf")
        self._pressure = 0.0
        self._round_progress = 0.0
        self._growth_hold = 0
        self.epoch = 0

    @property
    def limit(self) -> int:
        """Return the present limit, at least 1."""
        return round(self._level)

    def record_success(self, epoch: int, used: int, now: float) -> None:
        """Note an answer to a call of `epoch`, with `used` calls in flight when it came."""
        if self._fixed or epoch != self.epoch:
            return
        self._reduce_pressure()
        if self._growth_hold:
            self._growth_hold -= 1
        elif used >= _MIN_UTILISATION * self.limit:
            self._grow(now)

    def record_error(self) -> None:
        """Note a try that failed without being refused: growth pauses for a few answers."""
        self._growth_hold = min(self._growth_hold + _ERROR_HOLD, self.limit)

    def record_rate_limited(self, epoch: int, rank: int, now: float) -> None:
        """Note a 429 for a call of `epoch` that was the `rank`-th in flight when it was sent."""
        if self._fixed or epoch != self.epoch:
            return
        self._rate_limited_at = now
        self._round_progress -= _REJECTION_COST
        self._pressure += 1
        self._lowest_rank = min(self._lowest_rank, rank)
        small = self._lowest_rank > _SMALL_CUT_FACTOR * self._level
        if self._pressure >= _CUT_PRESSURE and (small or now - self._cut_at >= COOLDOWN_SECONDS):
            self._cut(now)

    def _reduce_pressure(self) -> None:
        self._pressure = max(0.0, self._pressure - _SUCCESS_RELIEF)
        if not self._pressure:
            self._lowest_rank = float("inf")

    def _cut(self, now: float) -> None:
        self._ceiling = max(self._lowest_rank - 1, self._level / 2)
        self._level = max(1.0, min(_CUT_FACTOR * self._ceiling, self._level))
        self._cut_at = now
        self._pressure, self._round_progress, self._lowest_rank = 0.0, 0.0, float("inf")
        self.epoch += 1

    def _grow(self, now: float) -> None:
        """Grow by the share of one answer in a round, which is `limit` answers."""
        if self._ceiling is None:
            self._increase(1.0)
        elif now - self._rate_limited_at > QUIET_SECONDS:
            self._increase(0.05)
        elif self._level < _NEAR_CEILING * self._ceiling:
            self._increase(0.25)
        else:
            self._step(now)

    def _step(self, now: float) -> None:
        self._round_progress += 1
        step = max(1.0, self._level / 200)
        quiet = PROBE_SECONDS if self._level + step > (self._ceiling or 0) else COOLDOWN_SECONDS
        in_time = now - self._stepped_at >= COOLDOWN_SECONDS and now - self._cut_at >= quiet
        if self._round_progress >= self._level and in_time:
            self._round_progress, self._stepped_at = 0.0, now
            self._increase(step)

    def _increase(self, amount: float) -> None:
        self._level = min(self._cap, self._level + amount)
