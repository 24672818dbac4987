"""Decides whether a refusal is the fault of its call or of the endpoint, by what other calls got.

A refusal is an error response that does not say by itself whose fault it is: 403, 404, a rule about
content, a field that is not accepted. So is an error of the server, once a call has no tries left.

Decisions
- An answer to a call that was sent later shows that a refusal is its own call's. Only the order of
  sending counts: replies overtake each other, and what was sent before an endpoint broke is still
  answered afterwards.
- `ENDPOINT_THRESHOLD` different calls that are refused alike with no answer between, while none is
  in flight that could still bring one, show that the fault is the endpoint's.
- From a refusal until the next answer no more calls than that are in flight, and none is sent once
  that many were refused alike. So a broken endpoint gets few calls, and a refusal among answers
  slows no other call down.
- Where no call is left to compare with, a refusal is its call's, unless that many are undecided. It
  counts on until an answer comes: however slowly calls come, a broken endpoint never settles that
  many.
- Some messages quote the call, so that no two are alike: `UNLIKE_THRESHOLD` of any kind suffice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

ENDPOINT_THRESHOLD = 5
UNLIKE_THRESHOLD = 4 * ENDPOINT_THRESHOLD


class RefusalRule:
    """What was sent to one endpoint and what came back, as far as it decides refusals.

    A call is known by the number that `sent` returns for it.
    """

    def __init__(self) -> None:
        self._n_sent = 0
        self._in_flight = 0
        self._last_answered = 0
        self._undecided: dict[int, Hashable] = {}  # the kind of refusal by call
        self._since_answer: Counter[Hashable] = Counter()

    @property
    def max_in_flight(self) -> float:
        """Return how many calls may be in flight now; infinity for no limit."""
        if is_endpoint_fault(self._since_answer.elements()):
            return 0
        return ENDPOINT_THRESHOLD if self._since_answer else float("inf")

    @property
    def is_endpoint_fault(self) -> bool:
        """Return whether the undecided refusals are the endpoint's fault."""
        return not self._in_flight and is_endpoint_fault(self._since_answer.elements())

    def sent(self) -> int:
        """Record that a call is sent, and return its number."""
        self._n_sent += 1
        self._in_flight += 1
        return self._n_sent

    def answered(self, call: int) -> list[int]:
        """Record an answer; return the calls that it shows to be refused by their own fault."""
        self._in_flight -= 1
        self._last_answered = max(self._last_answered, call)
        self._since_answer.clear()
        return self._decide([earlier for earlier in self._undecided if earlier < call])

    def refused(self, call: int, kind: Hashable) -> list[int]:
        """Record a refusal.

        Args:
            call: The call.
            kind: What refusals that are alike have in common.

        Returns:
            The call, if a later one was answered already.
        """
        self._in_flight -= 1
        if call < self._last_answered:
            return [call]
        self._undecided[call] = kind
        self._since_answer[kind] += 1
        return []

    def ended(self, _: int) -> None:
        """Record that a call ended in another way, which shows nothing."""
        self._in_flight -= 1

    def given_up(self, call: int) -> None:
        """Forget an undecided call that nobody waits for any more."""
        self._decide([call])

    def no_call_left(self) -> list[int]:
        """Record that no call is in flight or waits to be sent.

        Returns:
            The calls that are refused by their own fault; none if it is the endpoint's.
        """
        if is_endpoint_fault(self._undecided.values()):
            self._since_answer = Counter(self._undecided.values())
            return []
        return self._decide(list(self._undecided))

    def _decide(self, calls: list[int]) -> list[int]:
        for call in calls:
            self._undecided.pop(call, None)
        return calls


def is_endpoint_fault(kinds: Iterable[Hashable]) -> bool:
    """Return whether so many different calls, refused with no answer between, are no accident.

    Args:
        kinds: For each of the calls, what refusals that are alike have in common.
    """
    counts = Counter(kinds)
    most = max(counts.values(), default=0)
    return most >= ENDPOINT_THRESHOLD or counts.total() >= UNLIKE_THRESHOLD
