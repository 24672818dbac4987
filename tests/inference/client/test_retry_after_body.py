"""Waits that the body of an error names, as providers write them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.inference.client.retry_after_body import DAY_SECONDS, body_wait_seconds

NOW = 1_795_305_600.0  # 2026-11-22 00:00:00 UTC
HOUR = 3600.0


def said(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "code": "rate_limit_exceeded"}}


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached on tokens per min (TPM): Limit 10. Please try again in 7m12s.", 432),
        ("Limit 200, Used 200, Requested 1. Please try again in 23h59m0.5s. See docs.", 86340.5),
        ("Please try again in 120ms.", 0.12),
        ("Please retry in 32.5s.", 32.5),
        ("Please retry after 20 seconds.", 20),
        ("retry after 20", 20),
        ("Too many requests, wait 1 hour and 5 minutes", 3900),
        ("Daily limit reached. It resets in 5 hours, 3 minutes", 5 * HOUR + 180),
        ("Quota resets at 2026-11-22T06:00:00Z", 6 * HOUR),
        ("Quota resets at 2026-11-22 06:00:00 UTC.", 6 * HOUR),
        ("blocked until 2026-11-22 07:00 +01:00", 6 * HOUR),
        ("blocked until 2026-11-21 07:00", 0),
        ("Your daily limit resets at 05:30 UTC", 5.5 * HOUR),
        ("Your daily limit resets at 00:00 UTC", 24 * HOUR),
        ("Requests per day (RPD): Limit 200, Used 200", DAY_SECONDS),
        ("You exceeded your daily quota", DAY_SECONDS),
        ("Rate limit reached for requests per minute: 3 / min. Try later.", None),
        ("Try again. You may send 3 requests in 1 minute", None),
        ("slow down", None),
    ],
)
def test_body_wait_seconds_reads_messages(message: str, seconds: float | None) -> None:
    assert body_wait_seconds(said(message), NOW) == pytest.approx(seconds)
    assert body_wait_seconds([said(message)], NOW) == pytest.approx(seconds)
    assert body_wait_seconds(message, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"details": [{"@type": "rpc.RetryInfo", "retryDelay": "34s"}]}}, 34),
        ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": "1795327200000"}}}}, 6 * HOUR),
        ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": 1795327200}}}}, 6 * HOUR),
        ({"retry_after": 12}, 12),
        ({"error": {"retry_after_ms": 1500}}, 1.5),
        ({"error": {"retryAfterSeconds": "12.5"}}, 12.5),
        ({"error": {"reset_at": "2026-11-22T06:00:00+00:00"}}, 6 * HOUR),
        ({"error": {"resets_in_seconds": 7200}}, 7200),
        ({"error": {"message": "try again in 2h", "retry_after": 5}}, 7200),
        ({"error": {"retry_after": None, "reset": {}}}, None),
        ({"error": {"retry_after": "soon", "preset": 5}}, None),
        ({"error": {"retry_after": "nan"}}, None),
        (None, None),
        (5, None),
        ([], None),
    ],
)
def test_body_wait_seconds_reads_fields(body: object, seconds: float | None) -> None:
    assert body_wait_seconds(body, NOW) == pytest.approx(seconds)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.sampled_from(["retry_after", "reset_at"]), inner)
    ),
    max_leaves=10,
)
WORDS = st.lists(
    st.sampled_from(["try again in", "resets at", "1e9", "99:99 UTC", "2026-13-40 25:61", "5 h"])
    | st.text(max_size=8)
).map(" ".join)


@given(JSON | WORDS)
def test_body_wait_seconds_is_a_number_of_seconds_for_any_body(body: object) -> None:
    wait = body_wait_seconds(body, NOW)
    assert wait is None or (wait >= 0 and math.isfinite(wait))
