"""A circuit breaker: an endpoint that is down pauses everybody instead of failing call by call.

Decisions
- It opens after a few tries in a row that got nothing through: no connection at all, or nothing
  but faults. While it is open one call at a time probes, with growing pauses between.
- An endpoint that cannot even be connected to ends the run after `patience` seconds: short if it
  was never reached (a mistyped URL), long if it was (a network that comes back).
- Faults of a server that does answer never end the run: each burns a try of the probing call only.
"""

from __future__ import annotations

THRESHOLD = 5
SICK_THRESHOLD = 12
FIRST_PATIENCE = 3.0
PATIENCE = 300.0
_LONGEST_PAUSE = 15.0


class Breaker:
    """Whether an endpoint is worth asking. Times are seconds of any one clock."""

    def __init__(self, first_patience: float = FIRST_PATIENCE, patience: float = PATIENCE) -> None:
        self._first_patience = first_patience
        self._patience = patience
        self._reached = False
        self._unreachable = 0
        self._sick = 0
        self._since: float | None = None
        self._probes = 0
        self._opened_at = float("inf")
        self.open_until = float("-inf")

    @property
    def open(self) -> bool:
        """Say whether only one call at a time may probe."""
        return self._unreachable >= THRESHOLD or self._sick >= SICK_THRESHOLD

    def answered(self) -> None:
        """Note an answer: all is well."""
        self.contacted()
        self._sick = self._probes = 0
        self._opened_at = float("inf")
        self.open_until = float("-inf")

    def contacted(self) -> None:
        """Note that the endpoint said something, if only that it is busy."""
        self._reached = True
        self._unreachable = 0
        self._since = None
        if not self.open:
            self._opened_at = float("inf")

    def troubled(self, now: float) -> None:
        """Note a fault of a server that could be reached."""
        self.contacted()
        self._sick += 1
        self._pause(now)

    def unreachable(self, sent_at: float, now: float) -> bool:
        """Note that no connection came about; say whether it is time to give up.

        Only a probe, sent alone after all else failed, decides: of a thousand connections that
        are opened at once, a busy machine may lose many.
        """
        self._unreachable += 1
        self._since = now if self._since is None else self._since
        was_probe = sent_at >= self._opened_at
        self._pause(now)
        patience = self._patience if self._reached else self._first_patience
        return was_probe and now - self._since >= patience

    def down_for(self, now: float) -> float:
        """Return for how many seconds the endpoint has been out of reach."""
        return 0.0 if self._since is None else now - self._since

    def _pause(self, now: float) -> None:
        """Pause if open; what fails during a pause was sent before it and prolongs nothing."""
        if self.open and now >= self.open_until:
            self._opened_at = min(self._opened_at, now)
            longest = _LONGEST_PAUSE if self._reached else self._first_patience / 4
            self.open_until = now + min(longest, 0.25 * 2.0 ** min(self._probes, 10))
            self._probes += 1
