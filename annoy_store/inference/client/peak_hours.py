"""Hours in which a provider charges more: `mon-fri 01:00-04:00 06:00-10:00`, in UTC.

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
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class PeakHours:
    """Hours of the week in which a provider charges more.

    Attributes:
        days: The days of the week, 0 is Monday.
        spans: The begin of each span and its length, in minutes since midnight UTC.
    """

    days: frozenset[int]
    spans: tuple[tuple[int, int], ...]

    def peak_end(self, at: datetime) -> datetime | None:
        """Return when the peak at a moment ends.

        Args:
            at: The moment, with a time zone.

        Returns:
            The end in UTC, or None if it is not peak hours at that moment.
        """
        at, end = at.astimezone(UTC), None
        while (later := self._span_end(end or at)) is not None:
            end = later
        return end

    def _span_end(self, at: datetime) -> datetime | None:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        for day in (midnight - _ONE_DAY, midnight):
            for begin, length in self.spans:
                start = day + timedelta(minutes=begin)
                if day.weekday() in self.days and start <= at < start + timedelta(minutes=length):
                    return start + timedelta(minutes=length)
        return None


def parse_peak_hours(text: str) -> PeakHours:
    """Parse peak hours in the form that the module's docstring shows.

    Args:
        text: Days and spans, separated by spaces or commas.

    Returns:
        The hours.

    Raises:
        UsageError: The text has another form, or names no hours, or all.
    """
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
