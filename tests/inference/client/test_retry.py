"""Backoff between tries: exponential with jitter, and never below what a provider asks for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.retry import backoff_seconds

TRIES = st.integers(1, 2000)


@given(TRIES)
def test_backoff_seconds_doubles_up_to_a_minute(tries: int) -> None:
    seconds = backoff_seconds(CallError("retry", "http_500"), tries)
    assert 0 <= seconds <= min(60.0, 0.5 * 2.0 ** min(tries - 1, 10))


@given(TRIES)
def test_backoff_seconds_of_a_rate_limited_call_is_short(tries: int) -> None:
    assert 0 <= backoff_seconds(CallError("limited", "http_429"), tries) <= 4.0


@given(TRIES, st.floats(0, 3600))
def test_backoff_seconds_is_at_least_retry_after(tries: int, retry_after: float) -> None:
    error = CallError("limited", "http_429", retry_after=retry_after)
    assert retry_after <= backoff_seconds(error, tries) <= max(4.0, 1.25 * retry_after + 0.1)
