"""Buckets of time: as fine as there is room for, cut from the text of a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

MAX_BUCKETS = 48
PREFIXES = (19, 18, 16, 15, 13, 10, 7)  # characters of a time: second, .. hour, day, month
_SECONDS = (1, 10, 60, 600, 3600, 86_400, 2_678_400)


def bucket_width(first: str | None, last: str | None) -> int:
    """Return how many characters of a time give at most `MAX_BUCKETS` buckets.

    Args:
        first: The first time, in ISO format; None without data.
        last: The last time.
    """
    if not first or not last:
        return PREFIXES[0]
    span = datetime.fromisoformat(last[:19]) - datetime.fromisoformat(first[:19])
    fits = (
        p
        for p, s in zip(PREFIXES, _SECONDS, strict=True)
        if span.total_seconds() / s <= MAX_BUCKETS
    )
    return next(fits, PREFIXES[-1])


def clock(at: str) -> str:
    """Return the part of a cut time that an axis shows."""
    if len(at) <= 7:
        return at
    return at[5:] if len(at) == 10 else _padded(at)[11:]


def time_axis(times: Sequence[str]) -> str:
    """Return the label of an axis of cut times: from the first to the last."""
    if not times:
        return ""
    ends = [t if len(t) <= 10 else _padded(t) for t in (times[0], times[-1])]
    return f"time (UTC), {ends[0]}" + (f" to {ends[1]}" if ends[0] != ends[1] else "")


def _padded(at: str) -> str:
    """Complete a cut time: 14:2 means 14:20, and 14 means 14:00."""
    at = at.replace("T", " ")
    return at + {13: ":00", 15: "0", 18: "0"}.get(len(at), "")
