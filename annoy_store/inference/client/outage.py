"""Decides whether tries that got no reply of use are the fault of their calls or of the endpoint.

A try fails so if the server sends an error of its own (5xx), breaks the connection, sends what is
no chat completion, or nothing in time.

Decisions
- The threshold is that of refusals (refusals.py): `ENDPOINT_THRESHOLD` different calls that failed
  with no answer between. However they failed, they count as alike: a server that is down and the
  proxy before it say so in many words.
- From then on a failure uses up no try of its call, so that all of them stay pending.
- The endpoint is given up after `OUTAGE_SECONDS` without an answer, as one that cannot be reached
  is. They count from the sending of the first call that failed, so a time limit of minutes per call
  is not waited for again and again.
- An endpoint that never answered is given up sooner, after as many failures as so many calls have
  tries: its URL is mistyped rather than its server restarted.
- It is not given up while a try is in flight that was sent before the first failure: that one may
  still be answered.
"""

from __future__ import annotations

from collections import Counter
from math import inf

from annoy_store.inference.client.circuit_breaker import OUTAGE_SECONDS
from annoy_store.inference.client.refusals import ENDPOINT_THRESHOLD

OUTAGE_ADVICE = {"deadline": "raise call_seconds in annoy.toml, or lower --max-connections"}
NOTICE_SECONDS = 2.0  # a shorter spell without an answer is not worth a word
_NOTICE_CHARS = 160


class Outage:
    """The calls that failed at one endpoint since its last answer.

    Times are seconds of any one clock; tries are numbered in the order of sending.
    """

    def __init__(self) -> None:
        self._calls: Counter[int] = Counter()  # how often each failed
        self._in_flight: set[int] = set()
        self._n_sent = 0
        self._sent_before = 0  # the last try that was sent before the first failure
        self._since: float | None = None
        self._answered_at = -inf
        self._words = ""

    def sent(self, number: int) -> None:
        """Record that a try is sent."""
        self._n_sent = number
        self._in_flight.add(number)

    def ended(self, number: int) -> None:
        """Record that a try is in flight no more."""
        self._in_flight.discard(number)

    def answered(self, now: float) -> None:
        """Record an answer of the endpoint, whole or not."""
        self._calls.clear()
        self._since = None
        self._answered_at = now

    def failed(self, call: int, words: str, sent_at: float) -> bool:
        """Record a try without a reply of use.

        Args:
            call: What tells its call from others.
            words: The error.
            sent_at: When the try was sent.

        Returns:
            Whether it is the endpoint's fault.
        """
        if self._since is None:
            self._since, self._sent_before = inf, self._n_sent
        self._since = min(self._since, max(sent_at, self._answered_at))
        self._calls[call] += 1
        self._words = words
        return self.is_endpoint_fault

    @property
    def is_endpoint_fault(self) -> bool:
        """Return whether so many different calls failed that none of them is at fault."""
        return len(self._calls) >= ENDPOINT_THRESHOLD

    def is_over_limit(self, tries: int, now: float) -> bool:
        """Return whether to give up the endpoint.

        Args:
            tries: How often a call is tried.
            now: The present time.
        """
        if not self.is_endpoint_fault or min(self._in_flight, default=inf) <= self._sent_before:
            return False
        never_answered = self._answered_at == -inf
        if never_answered and self._calls.total() >= ENDPOINT_THRESHOLD * tries:
            return True
        return self.seconds(now) >= OUTAGE_SECONDS

    def seconds(self, now: float) -> float:
        """Return for how long the endpoint has failed calls and answered none."""
        return 0.0 if self._since is None else now - self._since

    def notice(self, now: float) -> str:
        """Return since when the endpoint answers nothing, and its words; empty if it does."""
        if not self.is_endpoint_fault or (seconds := self.seconds(now)) < NOTICE_SECONDS:
            return ""
        words = "".join(filter(str.isprintable, self._words))[:_NOTICE_CHARS]
        return (
            f"no answer from the endpoint for {seconds:.0f} s, {len(self._calls)} calls failed: "
            f"{words}"
        )
