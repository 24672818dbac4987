"""The rule about outages: a broken endpoint fails fewer calls than the threshold, and is told."""

from __future__ import annotations

import random
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.inference.client.circuit_breaker import OUTAGE_SECONDS
from annoy_store.inference.client.outage import Outage
from annoy_store.inference.client.refusals import ENDPOINT_THRESHOLD

CALLS = st.integers(1, 12)


@settings(deadline=None)
@given(st.lists(CALLS, min_size=1, max_size=60))
def test_outage_charges_fewer_calls_than_the_threshold(failing: list[int]) -> None:
    """Whatever the order, however often each call is tried."""
    outage, numbers, charged = Outage(), count(1), set[int]()
    for now, call in enumerate(failing):
        number = next(numbers)
        outage.sent(number)
        if not outage.failed(call, "http_503", float(now)):
            charged.add(call)
        outage.ended(number)
    assert len(charged) < ENDPOINT_THRESHOLD
    assert outage.is_endpoint_fault == (len(set(failing)) >= ENDPOINT_THRESHOLD)


@settings(deadline=None)
@given(st.lists(CALLS | st.none(), max_size=60))
def test_outage_ends_with_an_answer(replies: list[int | None]) -> None:
    """A call that fails while others are answered is at fault, and never alone the endpoint."""
    outage = Outage()
    for now, call in enumerate([*replies, None]):
        outage.sent(now)
        if call is None:
            outage.answered(float(now))
            assert (outage.seconds(now + 100.0), outage.notice(now + 100.0)) == (0.0, "")
        else:
            outage.failed(call, "http_503", float(now))
        outage.ended(now)
        since_answer = replies[:now][::-1]
        last = since_answer.index(None) if None in since_answer else len(since_answer)
        different = {*since_answer[:last], call} if call is not None else set()
        assert outage.is_endpoint_fault == (len(different) >= ENDPOINT_THRESHOLD)
    assert not outage.is_over_limit(1, 1e9)


@settings(deadline=None)
@given(st.integers(ENDPOINT_THRESHOLD, 64), st.randoms(use_true_random=False))
def test_outage_waits_for_the_tries_that_were_sent_before(n: int, order: random.Random) -> None:
    """A time limit of ten minutes is reached by all calls: the last of them shows the outage."""
    outage = Outage()
    for number in range(n):
        outage.sent(number)
    numbers = list(range(n))
    order.shuffle(numbers)
    over = []
    for number in numbers:
        outage.failed(number, "deadline", 0.0)
        outage.ended(number)
        over.append(outage.is_over_limit(5, 600.0))
    assert over == [False] * (n - 1) + [True]


def test_outage_lasts_from_the_sending_of_what_failed_but_not_from_before_an_answer() -> None:
    outage = Outage()
    outage.answered(50.0)
    for call in range(ENDPOINT_THRESHOLD):
        outage.failed(call, "http_503 no capacity", 10.0 + call)
    assert outage.seconds(60.0) == 10.0
    assert not outage.is_over_limit(1, 50.0 + OUTAGE_SECONDS - 1)
    assert outage.is_over_limit(1, 50.0 + OUTAGE_SECONDS)
    expected = "no answer from the endpoint for 10 s, 5 calls failed: http_503 no capacity"
    assert outage.notice(60.0) == expected


@settings(deadline=None)
@given(st.lists(CALLS, max_size=60), st.integers(1, 6), st.booleans())
def test_outage_of_what_never_answered_lasts_as_long_as_the_tries(
    failing: list[int], tries: int, answered: bool
) -> None:
    outage = Outage()
    if answered:
        outage.answered(0.0)
    for call in failing:
        outage.failed(call, "html", 1.0)
    enough = len(failing) >= ENDPOINT_THRESHOLD * tries
    expected = not answered and enough and len(set(failing)) >= ENDPOINT_THRESHOLD
    assert outage.is_over_limit(tries, 1.0) == expected
