"""Adaptive concurrency limit of one endpoint: slow start, then AIMD.

Decisions (measured against providers that reject above a number of calls in flight)
- The limit doubles every round of answers until rejections (429) set in.
- A rejection shows where the ceiling is: just below the number in flight when that call was sent.
  The limit is cut to just under the lowest of them, at most to its half at once.
- Each 429 adds 1 to the pressure, each success removes 0.1; at 4 the limit is cut. So one
  rejection among ten answers or more cuts nothing: occasional rejections of a shared account, or
  those among a few last calls, do not lower the limit.
- Only calls sent after the last cut count (`epoch`), or a burst of rejections would count a hundred
  times. Deep cuts come one per `COOLDOWN_SECONDS`, which Retry-After never lengthens; small ones
  follow at once, because a busy client overestimates how many of its calls are still in flight.
- Below the remembered ceiling the limit returns fast. Near it, it grows one step in a round with
  few rejections and once a second at most: answers of 0.1 s would otherwise outrun the cuts. Above
  it, it probes ten seconds after a cut; after a quiet minute it grows in larger steps, because
  providers raise limits too.
- It grows only when four fifths of it are used, and not while every fifth try fails.
"""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

COOLDOWN_SECONDS = 1.0
PROBE_SECONDS = 10.0
QUIET_SECONDS = 60.0
_MIN_UTILISATION = 0.8
_CUT_FACTOR = 0.95
_NEAR_CEILING = 0.97
_SMALL_CUT_FACTOR = 0.75
_ERROR_HOLD = 4  # successes without growth after an error
_REJECTION_COST = 10  # successes that a rejection takes from the progress of a round
_CUT_PRESSURE = 4.0
_SUCCESS_RELIEF = 0.1


class AdaptiveConcurrency:
    """The number of calls that one endpoint may have in flight, at least 1.

    Times are seconds of any one clock.

    Args:
        cap: The highest limit.
        start: The first limit.
        fixed: Whether the limit is always `cap`, for servers that queue and never send 429.
    """

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

    def record_success(self, epoch: int, in_flight: int, now: float) -> None:
        """Record an answer.

        Args:
            epoch: The `epoch` when the call was sent.
            in_flight: How many calls were in flight when the answer came.
            now: The present time, in seconds.
        """
        if self._fixed or epoch != self.epoch:
            return
        self._reduce_pressure()
        if self._growth_hold:
            self._growth_hold -= 1
        elif in_flight >= _MIN_UTILISATION * self.limit:
            self._grow(now)

    def record_error(self) -> None:
        """Record a try that failed with another error than 429: growth pauses for a few answers."""
        self._growth_hold = min(self._growth_hold + _ERROR_HOLD, self.limit)

    def record_rate_limited(self, epoch: int, rank: int, now: float) -> None:
        """Record a 429.

        Args:
            epoch: The `epoch` when the call was sent.
            rank: How many calls were in flight when it was sent, itself included.
            now: The present time, in seconds.
        """
        if self._fixed or epoch != self.epoch:
            return
        self._rate_limited_at = now
        self._round_progress -= _REJECTION_COST
        self._pressure += 1
        self._lowest_rank = min(self._lowest_rank, rank)
        small = self._lowest_rank > _SMALL_CUT_FACTOR * self._level
        cooled_down = now - self._cut_at >= COOLDOWN_SECONDS
        if self._pressure >= _CUT_PRESSURE and (small or cooled_down):
            self._cut(now)

    def _reduce_pressure(self) -> None:
        self._pressure = max(0.0, self._pressure - _SUCCESS_RELIEF)
        if not self._pressure:
            self._lowest_rank = float("inf")

    def _cut(self, now: float) -> None:
        before = self.limit
        self._ceiling = max(self._lowest_rank - 1, self._level / 2)
        self._level = max(1.0, min(_CUT_FACTOR * self._ceiling, self._level))
        self._cut_at = now
        self._pressure, self._round_progress, self._lowest_rank = 0.0, 0.0, float("inf")
        self.epoch += 1
        logger.info("rate limited: concurrency limit cut from %d to %d", before, self.limit)

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
        """Grow by one step, if a round is complete and enough time has passed."""
        self._round_progress += 1
        step = max(1.0, self._level / 200)
        above = self._level + step > (self._ceiling or 0)
        quiet = PROBE_SECONDS if above else COOLDOWN_SECONDS
        in_time = now - self._stepped_at >= COOLDOWN_SECONDS and now - self._cut_at >= quiet
        if self._round_progress >= self._level and in_time:
            self._round_progress, self._stepped_at = 0.0, now
            self._increase(step)

    def _increase(self, amount: float) -> None:
        self._level = min(self._cap, self._level + amount)
