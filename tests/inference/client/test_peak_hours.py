"""Peak hours: parsing, and when a peak ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.errors import UsageError
from annoy_store.inference.client.peak_hours import parse_peak_hours

DEEPSEEK = parse_peak_hours("mon-fri 01-04 06-10")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """Return a time in the week of Monday, 2026-11-16."""
    return datetime(2026, 11, 16 + day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        (at(0, 0, 59), None),
        (at(0, 1), at(0, 4)),
        (at(0, 3, 59), at(0, 4)),
        (at(0, 4), None),
        (at(4, 9, 30), at(4, 10)),
        (at(5, 9, 30), None),
        (at(6, 2), None),
    ],
)
def test_peak_end_is_the_end_of_the_span(now: datetime, end: datetime | None) -> None:
    assert DEEPSEEK.peak_end(now) == end


def test_peak_end_of_a_span_past_midnight() -> None:
    nights = parse_peak_hours("sun 22:30-02")
    assert nights.peak_end(at(6, 23)) == nights.peak_end(at(7, 1)) == at(7, 2)
    assert nights.peak_end(at(6, 1)) is None


def test_peak_end_joins_adjacent_spans() -> None:
    assert parse_peak_hours("01-04 04-06").peak_end(at(2, 2)) == at(2, 6)


def test_peak_end_converts_time_zones() -> None:
    there = at(0, 2).astimezone(timezone(timedelta(hours=8)))
    assert DEEPSEEK.peak_end(there) == at(0, 4)


@given(st.integers(0, 6), st.integers(0, 23), st.integers(0, 59))
def test_peak_end_is_outside_of_the_peak(day: int, hour: int, minute: int) -> None:
    end = DEEPSEEK.peak_end(at(day, hour, minute))
    assert end is None or (end > at(day, hour, minute) and DEEPSEEK.peak_end(end) is None)


@pytest.mark.parametrize("text", ["", "mon-fri", "25-26", "1-1", "noon", "00-24", "mon 10:75-11"])
def test_parse_peak_hours_refuses_other_forms(text: str) -> None:
    with pytest.raises(UsageError, match="peak hours"):
        parse_peak_hours(text)
