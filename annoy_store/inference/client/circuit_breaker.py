"""Circuit breaker: an endpoint that is down pauses all calls instead of failing them one by one.

Decisions
- It opens after a few tries in a row without success: no connection at all, or nothing but errors.
  While it is open, one call at a time probes, with growing pauses between.
- An endpoint that cannot even be connected to ends the run after some seconds: few if it was never
  reached (a mistyped URL), many if it was (a network that comes back).
- Errors of a server that can be reached only pause here; outage.py decides whether they end the
  run.
"""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

UNREACHABLE_THRESHOLD = 5
ERROR_THRESHOLD = 12
FIRST_CONTACT_SECONDS = 3.0
OUTAGE_SECONDS = 300.0
_MAX_PAUSE_SECONDS = 15.0


class CircuitBreaker:
    """Whether calls may be sent to an endpoint. Times are seconds of any one clock.

    Args:
        first_contact_seconds: After how many seconds without a connection to give up an endpoint
            that has never been reached.
        outage_limit_seconds: The same for an endpoint that has been reached before.
    """

    def __init__(
        self,
        first_contact_seconds: float = FIRST_CONTACT_SECONDS,
        outage_limit_seconds: float = OUTAGE_SECONDS,
    ) -> None:
        self._first_contact_seconds = first_contact_seconds
        self._outage_limit_seconds = outage_limit_seconds
        self._reached = False
        self._unreachable = 0
        self._errors = 0
        self._down_since: float | None = None
        self._probes = 0
        self._opened_at = float("inf")
        self.open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Return whether only one call at a time may probe."""
        return self._unreachable >= UNREACHABLE_THRESHOLD or self._errors >= ERROR_THRESHOLD

    def record_success(self) -> None:
        """Record an answer: the breaker closes."""
        if self.is_open:
            logger.info("the endpoint answers again: calls are resumed")
        self.record_contact()
        self._errors = self._probes = 0
        self._opened_at = float("inf")
        self.open_until = float("-inf")

    def record_contact(self) -> None:
        """Record that the endpoint could be reached, though it may have rejected the call."""
        self._reached = True
        self._unreachable = 0
        self._down_since = None
        if not self.is_open:
            self._opened_at = float("inf")

    def record_error(self, now: float) -> None:
        """Record an error of a server that could be reached."""
        self.record_contact()
        self._errors += 1
        self._pause(now)

    def record_unreachable(self, sent_at: float, now: float) -> bool:
        """Record that no connection could be made.

        Only a probe, sent alone after all else failed, decides: of a thousand connections that
        are opened at once, a busy machine may lose many.

        Args:
            sent_at: When the call was sent, in seconds.
            now: The present time, in seconds.

        Returns:
            Whether to give up the endpoint.
        """
        self._unreachable += 1
        self._down_since = now if self._down_since is None else self._down_since
        was_probe = sent_at >= self._opened_at
        self._pause(now)
        limit = self._outage_limit_seconds if self._reached else self._first_contact_seconds
        return was_probe and now - self._down_since >= limit

    def outage_seconds(self, now: float) -> float:
        """Return for how many seconds the endpoint has been unreachable."""
        return 0.0 if self._down_since is None else now - self._down_since

    def _pause(self, now: float) -> None:
        """Pause if open; what fails during a pause was sent before it and does not prolong it."""
        if self.is_open and now >= self.open_until:
            if not self._probes:
                logger.warning("the endpoint fails: calls are paused, one at a time probes it")
            self._opened_at = min(self._opened_at, now)
            longest = _MAX_PAUSE_SECONDS if self._reached else self._first_contact_seconds / 4
            self.open_until = now + min(longest, 0.25 * 2.0 ** min(self._probes, 10))
            self._probes += 1
