"""Hours in which a provider asks more: `mon-fri 01:00-04:00 06:00-10:00`, in UTC.

Days are optional (then every day counts); a span that ends before it begins goes past midnight
and belongs to the day on which it begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from annoy_store.errors import UsageError

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)(?:-(mon|tue|wed|thu|fri|sat|sun))?")
_SPAN = re.compile(r"(\d{1,2})(?::(\d\d))?-(\d{1,2})(?::(\d\d))?")
_A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class PeakHours:
    """Spans of minutes of the day, on some days of the week (0 is Monday)."""

    days: frozenset[int]
    spans: tuple[tuple[int, int], ...]

    def peak_end(self, at: datetime) -> datetime | None:
        """Return when the peak that `at` (with a time zone) lies in is over; None outside of one."""
        at, over = at.astimezone(UTC), None
        while (later := self._span_end(over or at)) is not None:
            over = later
        return over

    def _span_end(self, at: datetime) -> datetime | None:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        for day in (midnight - _A_DAY, midnight):
            for begin, length in self.spans:
                start = day + timedelta(minutes=begin)
                if day.weekday() in self.days and start <= at < start + timedelta(minutes=length):
                    return start + timedelta(minutes=length)
        return None


def parse_peak_hours(text: str) -> PeakHours:
    """Read hours as the docstring above writes them. Raises UsageError."""
    days: set[int] = set()
    spans = []
    for word in text.lower().replace(",", " ").split():
        if match := _DAY.fullmatch(word):
            days |= _days(match[1], match[2] or match[1])
        elif (match := _SPAN.fullmatch(word)) and (span := _span(match)):
            spans.append(span)
        else:
            raise UsageError(f"peak hours: {word!r} is neither days (mon-fri) nor hours (06-10)")
    days = days or set(range(7))
    if not spans or (len(days) == 7 and sum(length for _, length in spans) >= 24 * 60):
        raise UsageError(f"peak hours {text!r} name no hours, or leave none")
    return PeakHours(frozenset(days), tuple(spans))


def _days(first: str, last: str) -> set[int]:
    begin, end = _DAYS.index(first), _DAYS.index(last)
    return {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}


def _span(match: re.Match[str]) -> tuple[int, int] | None:
    """Return begin and length in minutes."""
    h, m, to_h, to_m = (int(part or 0) for part in match.groups())
    begin, end = 60 * h + m, 60 * to_h + to_m
    if max(m, to_m) > 59 or begin >= 24 * 60 or end > 24 * 60 or begin == end:
        return None
    return begin, (end - begin) % (24 * 60) or 24 * 60
