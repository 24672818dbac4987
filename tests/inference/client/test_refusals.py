"""The rule about refusals: the fault of one call stops nobody, a broken endpoint settles few."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.inference.client.refusals import (
    ENDPOINT_THRESHOLD,
    UNLIKE_THRESHOLD,
    RefusalRule,
    is_endpoint_fault,
)

Reply = str | None  # the kind of refusal; None for an answer


@dataclass
class Simulation:
    """Calls that are sent in order, and replies that come in any order.

    Attributes:
        n_calls: How many calls there are.
        connections: How many may be in flight.
        reply: What the endpoint decides about a call when it is sent, from 1.
        lost: The calls that end in another way, such as a timeout.
    """

    n_calls: int
    connections: int
    reply: Callable[[int], Reply]
    lost: frozenset[int] = frozenset()
    rule: RefusalRule = field(default_factory=RefusalRule)
    in_flight: list[int] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    own: set[int] = field(default_factory=set)
    most_in_flight: int = 0
    n_sent: int = 0

    def run(self, order: random.Random) -> Simulation:
        """Send and receive until there is nothing left to do, or the endpoint is at fault."""
        while not self.rule.is_endpoint_fault:
            while self.n_sent < self.n_calls and self._has_capacity():
                self.n_sent += 1
                assert self.rule.sent() == self.n_sent
                self.in_flight.append(self.n_sent)
            if self.in_flight:
                self._receive(self.in_flight.pop(order.randrange(len(self.in_flight))))
            elif self.n_sent == self.n_calls:
                self.own.update(self.rule.no_call_left())
                break
            else:
                raise AssertionError("nothing is in flight and nothing may be sent")
        return self

    def _has_capacity(self) -> bool:
        return len(self.in_flight) < min(self.connections, self.rule.max_in_flight)

    def _receive(self, call: int) -> None:
        if call in self.lost:
            self.rule.ended(call)
        elif (kind := self.reply(call)) is None:
            self.answered.add(call)
            self.own.update(self.rule.answered(call))
        else:
            self.refused.add(call)
            self.own.update(self.rule.refused(call, kind))


ORDERS = st.randoms(use_true_random=False)
SIZES = st.integers(1, 120), st.integers(1, 64)


@settings(deadline=None)
@given(*SIZES, ORDERS)
def test_broken_endpoint_settles_fewer_calls_than_the_threshold(
    n_calls: int, connections: int, order: random.Random
) -> None:
    done = Simulation(n_calls, connections, lambda _: "http_403").run(order)
    assert done.rule.is_endpoint_fault == (n_calls >= ENDPOINT_THRESHOLD)
    assert done.own == (set() if done.rule.is_endpoint_fault else set(range(1, n_calls + 1)))
    assert done.n_sent < connections + ENDPOINT_THRESHOLD


@settings(deadline=None)
@given(*SIZES, st.integers(0, 120), ORDERS)
def test_endpoint_that_breaks_settles_fewer_calls_than_the_threshold(
    n_calls: int, connections: int, breaks_after: int, order: random.Random
) -> None:
    """Calls that were sent before are still answered, before and after later ones are refused."""

    def reply(call: int) -> Reply:
        return "http_403" if call > breaks_after else None

    done = Simulation(n_calls, connections, reply).run(order)
    assert len(done.own) < ENDPOINT_THRESHOLD
    assert done.own <= done.refused
    left = n_calls - breaks_after
    assert done.rule.is_endpoint_fault == (left >= ENDPOINT_THRESHOLD)


@settings(deadline=None)
@given(*SIZES, st.data(), ORDERS)
def test_refusals_of_calls_are_told_whatever_the_order(
    n_calls: int, connections: int, data: st.DataObject, order: random.Random
) -> None:
    """Fewer bad calls than the threshold in a row, however many in all: every one is found."""
    gaps = st.sampled_from([None, "http_403", "http_400"])
    replies = data.draw(st.lists(gaps, min_size=n_calls, max_size=n_calls))
    for start in range(0, n_calls, ENDPOINT_THRESHOLD):
        replies[start] = None
    bad = {n for n, kind in enumerate(replies, 1) if kind}
    done = Simulation(n_calls, connections, lambda n: replies[n - 1]).run(order)
    assert not done.rule.is_endpoint_fault
    assert (done.own, done.answered) == (bad, set(range(1, n_calls + 1)) - bad)


@settings(deadline=None)
@given(st.integers(1, 120), ORDERS, st.sets(st.integers(1, 120)))
def test_single_refused_call_is_its_own_fault(
    n_calls: int, order: random.Random, lost: set[int]
) -> None:
    """Also among calls that end in another way, which shows nothing."""
    bad = order.randint(1, n_calls)

    def reply(call: int) -> Reply:
        return "http_403" if call == bad else None

    done = Simulation(n_calls, 8, reply, frozenset(lost - {bad})).run(order)
    assert done.own == {bad}
    assert not done.rule.is_endpoint_fault


@settings(max_examples=2000, deadline=None)
@given(*SIZES, st.data(), ORDERS)
@pytest.mark.slow
def test_every_refusal_is_decided_whatever_comes(
    n_calls: int, connections: int, data: st.DataObject, order: random.Random
) -> None:
    kinds = st.sampled_from([None, None, "a", "b", "c", "lost"])
    replies = data.draw(st.lists(kinds, min_size=n_calls, max_size=n_calls))
    lost = frozenset(n for n, kind in enumerate(replies, 1) if kind == "lost")
    done = Simulation(n_calls, connections, lambda n: replies[n - 1], lost).run(order)
    assert done.own <= done.refused
    if not done.rule.is_endpoint_fault:
        assert done.own == done.refused


def test_broken_endpoint_settles_few_calls_however_slowly_they_come() -> None:
    """Where each call is alone for a while, it has none to be compared with."""
    rule, own = RefusalRule(), list[int]()
    for _ in range(ENDPOINT_THRESHOLD):
        rule.refused(rule.sent(), "http_404")
        own += [] if rule.is_endpoint_fault else rule.no_call_left()
    assert rule.is_endpoint_fault
    assert len(own) == ENDPOINT_THRESHOLD - 1


def test_max_in_flight_is_limited_from_a_refusal_until_an_answer() -> None:
    rule = RefusalRule()
    first, second, third = rule.sent(), rule.sent(), rule.sent()
    assert rule.max_in_flight == float("inf")
    rule.refused(second, "http_403")
    assert rule.max_in_flight == ENDPOINT_THRESHOLD
    assert rule.answered(first) == []
    assert rule.max_in_flight == float("inf")
    assert rule.answered(third) == [second]


def test_given_up_call_is_forgotten() -> None:
    rule = RefusalRule()
    number = rule.sent()
    rule.refused(number, "http_403")
    rule.given_up(number)
    assert rule.no_call_left() == []


@pytest.mark.parametrize(
    ("kinds", "fault"),
    [
        (["a"] * (ENDPOINT_THRESHOLD - 1), False),
        (["a"] * ENDPOINT_THRESHOLD, True),
        (["a", "b"] * (ENDPOINT_THRESHOLD - 1), False),
        (["a", "b"] * ENDPOINT_THRESHOLD, True),
        (list(map(str, range(UNLIKE_THRESHOLD - 1))), False),
        (list(map(str, range(UNLIKE_THRESHOLD))), True),
    ],
)
def test_is_endpoint_fault_wants_refusals_that_are_alike(kinds: list[str], fault: bool) -> None:
    assert is_endpoint_fault(kinds) == fault
