"""Adaptive concurrency in simulated time: it finds a provider's limit and keeps to it."""

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
class Simulation:
    """A provider that rejects above `max_in_flight(now)`, and a client with endless work.

    A rejected call waits for a second; others are sent meanwhile, up to the limiter's capacity.
    """

    limit: AdaptiveConcurrency
    max_in_flight: Callable[[float], int]
    latency: float = 1.0
    rejection_rate: float = 0.0
    error_rate: float = 0.0
    now: float = 0.0
    in_flight: int = 0
    accepted: int = 0
    waiting: int = 0
    serial: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    events: list[tuple[float, int, str, int, int]] = field(default_factory=list)
    random: random.Random = field(default_factory=lambda: random.Random(7))

    def run(self, seconds: float) -> Counter[str]:
        """Send calls for `seconds`; return how many ended in which way."""
        self.counts.clear()
        end = self.now + seconds
        self.fill()
        while self.events[0][0] < end:
            self.now, _, kind, epoch, rank = heapq.heappop(self.events)
            self.finish(kind, epoch, rank)
            self.fill()
        self.now = end
        return self.counts

    def fill(self) -> None:
        most = self.limit.limit
        while self.in_flight < most and self.in_flight + self.waiting < 2 * most:
            self.in_flight += 1
            kind, after = self.send()
            self.schedule(after, kind, self.limit.epoch, self.in_flight)

    def schedule(self, after: float, kind: str, epoch: int = 0, rank: int = 0) -> None:
        self.serial += 1
        heapq.heappush(self.events, (self.now + after, self.serial, kind, epoch, rank))

    def send(self) -> tuple[str, float]:
        draw = self.random.random()
        if self.accepted >= self.max_in_flight(self.now) or draw < self.rejection_rate:
            return "rejected", ROUND_TRIP
        self.accepted += 1
        kind = "error" if draw > 1 - self.error_rate else "ok"
        return kind, self.latency * self.random.uniform(0.7, 1.3)

    def finish(self, kind: str, epoch: int, rank: int) -> None:
        self.counts[kind] += 1
        if kind == "back":
            self.waiting -= 1
            return
        if kind == "ok":
            self.limit.record_success(epoch, self.in_flight, self.now)
        elif kind == "error":
            self.limit.record_error()
        else:
            self.limit.record_rate_limited(epoch, rank, self.now)
            self.waiting += 1
            self.schedule(1 + self.random.uniform(0, 0.35), "back")
        self.accepted -= kind != "rejected"
        self.in_flight -= 1


@pytest.mark.parametrize(
    ("takes", "latency"), [(200, 1.0), (200, 20.0), (60, 0.1), (2500, 1.0), (12, 1.0), (3, 0.5)]
)
def test_concurrency_finds_the_limit(takes: int, latency: float) -> None:
    simulation = Simulation(AdaptiveConcurrency(4000), lambda _: takes, latency)
    simulation.run(30 * latency + 30)
    counts = simulation.run(60 * latency)
    best = takes * 60
    assert counts["ok"] >= 0.9 * best
    assert counts["rejected"] <= 0.05 * counts["ok"] + 10


def test_concurrency_is_rarely_rejected_at_the_start() -> None:
    simulation = Simulation(AdaptiveConcurrency(1000), lambda _: 200)
    counts = simulation.run(30)
    assert counts["ok"] >= 0.8 * 200 * 30
    assert counts["rejected"] < 100


def test_concurrency_follows_a_changing_limit() -> None:
    simulation = Simulation(
        AdaptiveConcurrency(1000), lambda now: 200 if now < 30 else 40 if now < 90 else 200
    )
    assert simulation.run(30)["ok"]
    assert simulation.run(60)["ok"] >= 0.8 * 40 * 60
    simulation.run(120)
    assert simulation.limit.limit >= 100


def test_concurrency_ignores_occasional_rejections() -> None:
    simulation = Simulation(AdaptiveConcurrency(1000), lambda _: 60, 0.1, rejection_rate=0.02)
    simulation.run(10)
    assert simulation.run(30)["ok"] >= 0.8 * 60 * 300


def test_concurrency_does_not_count_errors_as_rejections() -> None:
    simulation = Simulation(AdaptiveConcurrency(1000), lambda _: 60, 0.1, error_rate=0.1)
    simulation.run(10)
    assert simulation.run(30)["ok"] >= 0.75 * 60 * 300


def test_concurrency_does_not_grow_while_most_tries_fail() -> None:
    simulation = Simulation(AdaptiveConcurrency(1000), lambda _: 500, error_rate=0.5)
    simulation.run(20)
    assert simulation.limit.limit == 32


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
