"""The limiter in simulated time: it finds what a provider takes, and does not lose it again."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.inference.client.concurrency import COOLDOWN_SECONDS, AdaptiveConcurrency

ROUND_TRIP = 0.005


@dataclass
class World:
    """A provider that refuses above `takes(now)` in flight, and a client with endless work.

    A refused call rests for a second; others take its place, as many as the gate's capacity says.
    """

    limit: AdaptiveConcurrency
    takes: Callable[[float], int]
    latency: float = 1.0
    odd_refusals: float = 0.0
    faults: float = 0.0
    now: float = 0.0
    in_flight: int = 0
    accepted: int = 0
    resting: int = 0
    serial: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    events: list[tuple[float, int, str, int, int]] = field(default_factory=list)
    random: random.Random = field(default_factory=lambda: random.Random(7))

    def run(self, seconds: float) -> Counter[str]:
        """Send for `seconds` and return how many calls ended how."""
        self.counts.clear()
        end = self.now + seconds
        self.fill()
        while self.events[0][0] < end:
            self.now, _, kind, epoch, rank = heapq.heappop(self.events)
            self.ended(kind, epoch, rank)
            self.fill()
        self.now = end
        return self.counts

    def fill(self) -> None:
        most = self.limit.limit
        while self.in_flight < most and self.in_flight + self.resting < 2 * most:
            self.in_flight += 1
            kind, after = self.sent()
            self.later(after, kind, self.limit.epoch, self.in_flight)

    def later(self, after: float, kind: str, epoch: int = 0, rank: int = 0) -> None:
        self.serial += 1
        heapq.heappush(self.events, (self.now + after, self.serial, kind, epoch, rank))

    def sent(self) -> tuple[str, float]:
        luck = self.random.random()
        if self.accepted >= self.takes(self.now) or luck < self.odd_refusals:
            return "refused", ROUND_TRIP
        self.accepted += 1
        kind = "fault" if luck > 1 - self.faults else "ok"
        return kind, self.latency * self.random.uniform(0.7, 1.3)

    def ended(self, kind: str, epoch: int, rank: int) -> None:
        self.counts[kind] += 1
        if kind == "back":
            self.resting -= 1
            return
        if kind == "ok":
            self.limit.record_success(epoch, self.in_flight, self.now)
        elif kind == "fault":
            self.limit.record_error()
        else:
            self.limit.record_rate_limited(epoch, rank, self.now)
            self.resting += 1
            self.later(1 + self.random.uniform(0, 0.35), "back")
        self.accepted -= kind != "refused"
        self.in_flight -= 1


@pytest.mark.parametrize(
    ("takes", "latency"), [(200, 1.0), (200, 20.0), (60, 0.1), (2500, 1.0), (12, 1.0), (3, 0.5)]
)
def test_concurrency_finds_the_limit(takes: int, latency: float) -> None:
    world = World(AdaptiveConcurrency(4000), lambda _: takes, latency)
    world.run(30 * latency + 30)
    counts = world.run(60 * latency)
    best = takes * 60
    assert counts["ok"] >= 0.9 * best
    assert counts["refused"] <= 0.05 * counts["ok"] + 10


def test_concurrency_is_rarely_rejected_at_the_start() -> None:
    world = World(AdaptiveConcurrency(1000), lambda _: 200)
    counts = world.run(30)
    assert counts["ok"] >= 0.8 * 200 * 30
    assert counts["refused"] < 100


def test_concurrency_follows_a_changing_limit() -> None:
    world = World(
        AdaptiveConcurrency(1000), lambda now: 200 if now < 30 else 40 if now < 90 else 200
    )
    assert world.run(30)["ok"]
    assert world.run(60)["ok"] >= 0.8 * 40 * 60
    world.run(120)
    assert world.limit.limit >= 100


def test_concurrency_ignores_occasional_rejections() -> None:
    world = World(AdaptiveConcurrency(1000), lambda _: 60, 0.1, odd_refusals=0.02)
    world.run(10)
    assert world.run(30)["ok"] >= 0.8 * 60 * 300


def test_concurrency_does_not_count_errors_as_rejections() -> None:
    world = World(AdaptiveConcurrency(1000), lambda _: 60, 0.1, faults=0.1)
    world.run(10)
    assert world.run(30)["ok"] >= 0.75 * 60 * 300


def test_concurrency_does_not_grow_while_most_tries_fail() -> None:
    world = World(AdaptiveConcurrency(1000), lambda _: 500, faults=0.5)
    world.run(20)
    assert world.limit.limit == 32


def test_concurrency_does_not_grow_unused() -> None:
    limit = AdaptiveConcurrency(1000)
    for second in range(200):
        limit.record_success(0, 5, float(second))
    assert limit.limit == 32


def test_concurrency_counts_a_burst_of_rejections_once() -> None:
    limit = AdaptiveConcurrency(1000, start=100)
    for rank in range(100, 60, -1):
        limit.record_rate_limited(0, rank, 10.0)
    assert limit.epoch == 1
    assert limit.limit >= 90
    for rank in range(60, 50, -1):
        limit.record_rate_limited(1, rank, 10.0 + COOLDOWN_SECONDS / 2)
    assert limit.epoch == 1


@pytest.mark.parametrize("cap", [1, 7, 5000])
def test_concurrency_when_fixed_is_the_cap(cap: int) -> None:
    limit = AdaptiveConcurrency(cap, fixed=True)
    for second in range(100):
        limit.record_rate_limited(0, 1, float(second))
        limit.record_success(0, cap, float(second))
        limit.record_error()
    assert limit.limit == cap


@given(st.integers(1, 300), st.lists(st.tuples(st.sampled_from("aart"), st.integers(1, 300))))
def test_concurrency_stays_between_one_and_the_cap(cap: int, events: list[tuple[str, int]]) -> None:
    limit = AdaptiveConcurrency(cap)
    for now, (kind, rank) in enumerate(events):
        if kind == "a":
            limit.record_success(limit.epoch, rank, float(now))
        elif kind == "r":
            limit.record_rate_limited(limit.epoch, rank, float(now))
        else:
            limit.record_error()
        assert 1 <= limit.limit <= cap
