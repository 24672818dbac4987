"""Buckets of time."""

from __future__ import annotations

import pytest

from annoy_store.report.time_buckets import PREFIXES, bucket_width, clock, time_axis


@pytest.mark.parametrize(
    ("last", "width"),
    [
        ("2026-01-01T00:00:30", 19),
        ("2026-01-01T00:05:00", 18),
        ("2026-01-01T00:40:00", 16),
        ("2026-01-01T07:00:00", 15),
        ("2026-01-02T20:00:00", 13),
        ("2026-02-01T00:00:00", 10),
        ("2029-01-01T00:00:00", 7),
    ],
)
def test_bucket_width_is_as_fine_as_there_is_room(last: str, width: int) -> None:
    assert bucket_width("2026-01-01T00:00:00.000Z", f"{last}.000Z") == width
    assert width in PREFIXES


def test_cut_times_are_completed_on_the_axis() -> None:
    assert clock("2026-01-01T07:1") == "07:10"
    assert clock("2026-01-01T07") == "07:00"
    assert clock("2026-01-01") == "01-01"
    assert clock("2026-01") == "2026-01"
    assert time_axis(["2026-01-01T07"]) == "time (UTC), 2026-01-01 07:00"
    assert time_axis(["2026-01", "2026-03"]) == "time (UTC), 2026-01 to 2026-03"
    assert time_axis([]) == ""
