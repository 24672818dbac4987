"""When a run ends, from what is left and how fast it went."""

from __future__ import annotations

import pytest

from annoy_store.inference.spend import Usage
from annoy_store.worker.time_left import CallsLeft, JobsLeft, Reading, Readings, seconds_left


def test_per_second_covers_the_last_seconds_only() -> None:
    readings = Readings()
    for at in range(2_000):
        readings.add(Reading(at, {"complete": {"done": min(at, 1_970)}}))
    assert readings.per_second(30, lambda r: r.n_ended("complete")) == pytest.approx(
        1 / 30, rel=0.1
    )
    assert readings.per_second(1e9, lambda r: r.n_ended("complete")) == pytest.approx(
        0.95, rel=0.01
    )


def test_working_rate_leaves_out_the_time_before_the_stage_began() -> None:
    readings = Readings()
    for at in range(25):
        readings.add(Reading(at, {"complete": {"done": 3 * max(0, at - 20)}}))
    assert readings.working_rate(25, ["complete"]) == 3


def test_working_rate_covers_the_time_of_the_first_calls() -> None:
    """Four calls at a time take five seconds each, and end together."""
    readings = Readings()
    for at in range(26):
        busy = frozenset({"complete"}) if at > 10 else frozenset()
        done = 4 * max(0, (at - 10) // 5)
        readings.add(Reading(at, {"complete": {"done": done}}, busy=busy))
        if at in (15, 20, 25):
            assert readings.working_rate(at, ["complete"]) == pytest.approx(0.8)


def test_working_rate_covers_the_last_third() -> None:
    readings = Readings()
    for at in range(301):
        readings.add(Reading(at, {"complete": {"done": at if at < 200 else 3 * at - 400}}))
    assert readings.working_rate(300, ["complete"]) == 3
    assert readings.working_rate(300, ["complete"], lambda r: r.n_ended("complete") / 2) == 1.5


def test_reading_knows_its_completion_tokens() -> None:
    tokens = {"prompt": 1, "cached": 0, "completion": 5, "reasoning": 0}
    assert Reading(0, {}, Usage(tokens=tokens)).completion_tokens == 5


def test_calls_left_take_the_mean_of_both_rates() -> None:
    assert CallsLeft(100, None, 2.0).seconds == 50
    assert CallsLeft(100, 1_000.0, 2.0, 80.0).seconds == 25  # between 50 and 12.5
    assert CallsLeft(100, 1_000.0).seconds is None
    assert CallsLeft(0.2, None).seconds == 0


def test_seconds_left_follows_the_calls() -> None:
    assert seconds_left(CallsLeft(100, None, 2.0), JobsLeft(900, 0, 0.1)) == 50


def test_seconds_left_follows_jobs_that_pile_up() -> None:
    calls = CallsLeft(100, None, 2.0)
    assert seconds_left(calls, JobsLeft(400, 60, 0.5)) == 800
    assert seconds_left(calls, JobsLeft(400, 4, 0.5)) == 50
    assert seconds_left(CallsLeft(), JobsLeft(400, 0, 0.5)) == 800


def test_seconds_left_is_unknown_before_the_first_answer() -> None:
    assert seconds_left(CallsLeft(100), JobsLeft(3, 0, 1.0)) is None
    assert seconds_left(CallsLeft(0.2), JobsLeft(3)) is None
    assert seconds_left(CallsLeft(0.2), JobsLeft()) == 0
