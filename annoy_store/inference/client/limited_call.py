"""Rate limits as the endpoint enforces them: since when, and whether a 429 is its call's own fault.

An endpoint that limits its rate rejects any call at times, and a call that waits its turn is not at
fault. But a call that is larger than the limit is rejected whenever it comes.

Decisions
- A 429 counts as a try once as many calls were answered since the last one that counted as there
  are others under way: all of them had their turn, and this call none.
- Where only a few calls are left and all of them are limited, each 429 counts, if others were
  answered since the call's first: nobody else uses up the limit then. The waits between grow to
  over a minute in all (retry.py), which is how long a limit per minute lasts.
- Otherwise the endpoint limits all, and no call is at fault.
"""

from __future__ import annotations

from annoy_store.inference.client.refusals import ENDPOINT_THRESHOLD

NOTICE_SECONDS = 2.0  # a shorter spell without an answer is not worth a word
_NOTICE_CHARS = 160


class LimitedCall:
    """The 429s of one call.

    Attributes:
        n_counted: How many of them counted as a try.
    """

    def __init__(self) -> None:
        self._answers_before: int | None = None
        self._saw_others_pass = False
        self.n_counted = 0

    def record(self, n_answers: int, n_calls: int, n_limited: int) -> bool:
        """Record a 429.

        Args:
            n_answers: How many calls the endpoint has answered so far.
            n_calls: How many calls are under way, this one included.
            n_limited: How many of them got a 429 as their last reply, this one included.

        Returns:
            Whether it counts as a try.
        """
        if self._answers_before is None:
            self._answers_before = n_answers
            return False
        passed = n_answers - self._answers_before
        self._saw_others_pass |= passed > 0
        is_left_over = n_limited == n_calls < ENDPOINT_THRESHOLD
        counts = self._saw_others_pass if is_left_over else passed >= n_calls - 1
        if counts:
            self._answers_before = n_answers
            self.n_counted += 1
        return counts


class LimitedEndpoint:
    """The 429s of an endpoint since its last answer. Times are seconds of any one clock.

    Attributes:
        n_answers: How many calls it has answered so far.
    """

    def __init__(self) -> None:
        self._calls: set[LimitedCall] = set()
        self._since: float | None = None
        self._words = ""
        self.n_answers = 0

    @property
    def n_limited(self) -> int:
        """Return how many calls under way got a 429 as their last reply."""
        return len(self._calls)

    def record_limited(self, call: LimitedCall, words: str, now: float) -> None:
        """Record a 429 with the endpoint's words."""
        self._calls.add(call)
        self._words = words
        self._since = now if self._since is None else self._since

    def record_other(self, call: LimitedCall, *, is_answer: bool) -> None:
        """Record another reply to a call, or its end."""
        self._calls.discard(call)
        if is_answer:
            self.n_answers += 1
            self._since = None

    def seconds(self, now: float) -> float:
        """Return for how long the endpoint has sent 429 and no answer."""
        return 0.0 if self._since is None else now - self._since

    def notice(self, now: float, connections: int) -> str:
        """Return since when the endpoint limits all calls, and its words; empty if it does not.

        Args:
            now: The present time.
            connections: How many calls may be in flight.
        """
        if (seconds := self.seconds(now)) < NOTICE_SECONDS:
            return ""
        number = f"{connections} connection{'s' if connections != 1 else ''}"
        shown = "".join(filter(str.isprintable, self._words))
        words = shown[:_NOTICE_CHARS] or "no reason given"
        return f"limited by the endpoint for {seconds:.0f} s, {number}: {words}"
