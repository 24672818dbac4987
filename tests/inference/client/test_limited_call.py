"""Rate limits: whose fault a 429 is, and since when the endpoint limits all."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from annoy_store.inference.client.limited_call import LimitedCall, LimitedEndpoint
from annoy_store.inference.client.refusals import ENDPOINT_THRESHOLD


def test_first_429_does_not_count() -> None:
    assert not LimitedCall().record(n_answers=1000, n_calls=1, n_limited=1)


def test_429_counts_once_all_others_had_their_turn() -> None:
    call = LimitedCall()
    call.record(n_answers=100, n_calls=33, n_limited=1)
    assert not call.record(n_answers=131, n_calls=33, n_limited=1)
    assert call.record(n_answers=132, n_calls=33, n_limited=1)
    assert not call.record(n_answers=133, n_calls=33, n_limited=1)
    assert call.record(n_answers=164, n_calls=33, n_limited=1)
    assert call.n_counted == 2


def test_429_counts_where_few_limited_calls_are_left_and_others_passed() -> None:
    call = LimitedCall()
    call.record(n_answers=10, n_calls=9, n_limited=1)
    assert not call.record(n_answers=16, n_calls=9, n_limited=1)
    assert call.record(n_answers=16, n_calls=3, n_limited=3)
    assert not call.record(n_answers=16, n_calls=3, n_limited=2)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 300))
def test_429s_count_for_no_call_if_the_endpoint_limits_all(n: int, m: int, answers: int) -> None:
    """Nobody passes; a call does not know whether the limit is for all."""
    call = LimitedCall()
    assert not any(call.record(answers, n, min(n, m)) for _ in range(20)) or n == 1
    assert call.n_counted == 0 or n == 1


@given(st.integers(0, 10**6), st.floats(0.05, 0.3))
def test_429s_of_a_busy_endpoint_seldom_count(seed: int, rejected: float) -> None:
    """Calls that share a limit are rejected by chance: of sixty-four, each waits for a round."""
    order = random.Random(seed)
    calls = [LimitedCall() for _ in range(64)]
    answers = 0
    for _ in range(640):
        at = order.randrange(64)
        if order.random() < rejected:
            calls[at].record(answers, 64, 1)
        else:
            answers += 1
            calls[at] = LimitedCall()
    assert max(call.n_counted for call in calls) < 5  # the default number of tries


def test_endpoint_tells_since_when_it_limits() -> None:
    endpoint, call = LimitedEndpoint(), LimitedCall()
    assert endpoint.notice(0.0, 4) == ""
    endpoint.record_limited(call, "slow down", 10.0)
    endpoint.record_limited(call, "Rate limit reached", 20.0)
    assert endpoint.notice(11.0, 4) == ""
    words = "limited by the endpoint for 120 s, 1 connection: Rate limit reached"
    assert (endpoint.notice(130.0, 1), endpoint.n_limited) == (words, 1)
    endpoint.record_other(call, is_answer=False)
    assert "2 connections" in endpoint.notice(130.0, 2)
    endpoint.record_other(call, is_answer=True)
    assert (endpoint.notice(130.0, 1), endpoint.n_limited) == ("", 0)


def test_many_limited_calls_are_not_at_fault() -> None:
    call = LimitedCall()
    call.record(0, 2, 1)
    call.record(1, 2, 1)
    assert not call.record(1, ENDPOINT_THRESHOLD, ENDPOINT_THRESHOLD)
