"""The circuit breaker: when it opens, closes and gives up."""

from __future__ import annotations

from annoy_store.inference.client.circuit_breaker import (
    ERROR_THRESHOLD,
    UNREACHABLE_THRESHOLD,
    CircuitBreaker,
)


def test_breaker_closes_after_an_answer() -> None:
    breaker = CircuitBreaker()
    for second in range(ERROR_THRESHOLD):
        breaker.record_error(float(second))
    assert breaker.is_open
    assert breaker.open_until > ERROR_THRESHOLD - 1
    breaker.record_success()
    assert not breaker.is_open
    assert breaker.open_until < 0


def test_breaker_waits_longer_for_a_reached_endpoint() -> None:
    breaker = CircuitBreaker(4, 300)
    breaker.record_success()
    assert not any(breaker.record_unreachable(second, second) for second in map(float, range(299)))
    assert breaker.record_unreachable(299.0, 300.0)


def test_breaker_gives_up_only_after_a_probe() -> None:
    breaker = CircuitBreaker(4, 300)
    assert not any(breaker.record_unreachable(0.0, second) for second in map(float, range(30, 90)))
    assert breaker.record_unreachable(91.0, 92.0)


def test_breaker_ignores_a_single_refused_connection() -> None:
    breaker = CircuitBreaker(4, 300)
    assert not breaker.record_unreachable(0.0, 0.0)
    breaker.record_contact()
    assert not any(
        breaker.record_unreachable(100.0, 100.0 + i) for i in range(UNREACHABLE_THRESHOLD - 1)
    )
    assert not breaker.is_open
