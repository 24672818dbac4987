"""How long the body of an error asks the client to wait, in a field or in its message.

Fields: `retryDelay` (google.rpc.RetryInfo), `X-RateLimit-Reset` (in the metadata of OpenRouter),
`retry_after`, `reset_at` and the like. Messages: `Please try again in 7m12s`, `retry after 20`,
`resets at 2026-11-22 00:00:00 UTC`, `wait 1 hour and 5 minutes`. A daily limit that names no time
counts as a wait of a day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from annoy_store.inference.client.retry_after import duration_seconds

DAY_SECONDS = 86400.0
_FIELD = re.compile(
    r"(?:x?ratelimit)?(?:requests|tokens)?"
    r"(?:retry(?:after|delay|in)|resets?(?:at|time|in|after)?)(?:in)?(?:seconds|secs?|s|ms)?"
)
_CUE = re.compile(r"\b(?:again|retry(?:ing)?|wait|resets?|available|until)\b", re.I)
_SENTENCE_END = re.compile(r"[.;!?](?:\s|$)")
_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)"
    r"(?![a-z])",
    re.I,
)
_BETWEEN_PARTS = re.compile(r"[\s,]*(?:and\s+)?")
_BARE = re.compile(r"^\s*(?:after|in)?:?\s*(\d+(?:\.\d+)?)\s*$")
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)?", re.I
)
_TIME_OF_DAY = re.compile(r"\b(\d\d):(\d\d)(?::\d\d)?\s*(?:UTC|GMT)", re.I)
_DAILY = re.compile(r"\bper[ -]day\b|\bdaily\b|\b(?:RPD|TPD)\b|PerDay", re.I)
_MAX_DEPTH = 6


def body_wait_seconds(body: object, now: float) -> float | None:
    """Return how long the body of an error asks to wait.

    Args:
        body: The decoded body, or its text.
        now: The present time, in seconds since 1970.

    Returns:
        The longest wait that it names, in seconds; None if it names none.
    """
    waits = list(_field_waits(body, now))
    texts = list(_texts(body))
    waits += [wait for text in texts if (wait := _message_wait(text, now)) is not None]
    if not waits and any(_DAILY.search(text) for text in texts):
        return DAY_SECONDS
    return max(waits, default=None)


def _field_waits(value: object, now: float, depth: int = 0) -> Iterator[float]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value:
            yield from _field_waits(item, now, depth + 1)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            plain = re.sub(r"[-_ ]", "", str(name).lower())
            if _FIELD.fullmatch(plain) and isinstance(item, str | int | float):
                yield from _field_wait(plain, str(item), now)
            else:
                yield from _field_waits(item, now, depth + 1)


def _field_wait(name: str, text: str, now: float) -> Iterator[float]:
    if (moment := _MOMENT.fullmatch(text.strip())) is not None:
        yield _until(moment, now)
    elif (wait := duration_seconds(text, now)) is not None:
        yield wait / 1000 if name.endswith("ms") else wait


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    """Yield the messages of a body: its texts with more than one word."""
    if isinstance(value, str) and " " in value:
        yield value[:2000]
    elif isinstance(value, Mapping | list) and depth <= _MAX_DEPTH:
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item, depth + 1)


def _message_wait(text: str, now: float) -> float | None:
    """Return the longest time that follows a word about waiting in the same sentence."""
    waits = []
    for cue in _CUE.finditer(text):
        rest = _SENTENCE_END.split(text[cue.end() : cue.end() + 100], maxsplit=1)[0]
        if (moment := _MOMENT.search(rest)) is not None:
            waits.append(_until(moment, now))
        elif (time := _TIME_OF_DAY.search(rest)) is not None:
            waits.append(_until_time_of_day(time, now))
        elif (wait := _words_seconds(rest)) is not None:
            waits.append(wait)
    return max(waits, default=None)


def _words_seconds(text: str) -> float | None:
    """Return the first duration in a text: `7m12s`, `1 hour and 5 minutes`, `after 20`."""
    part = _PART.search(text)
    if part is None:
        bare = _BARE.match(text)
        return float(bare[1]) if bare else None
    seconds = 0.0
    while part is not None:
        seconds += float(part[1]) * _unit_seconds(part[2].lower())
        between = _BETWEEN_PARTS.match(text, part.end())
        part = _PART.match(text, between.end() if between else part.end())
    return seconds


def _unit_seconds(unit: str) -> float:
    if unit.startswith(("ms", "mil")):
        return 0.001
    return {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_SECONDS}[unit[0]]


def _until(moment: re.Match[str], now: float) -> float:
    """Return the seconds until a date and time, which is in UTC if it names no zone."""
    zone = (moment[3] or "Z").upper().replace("UTC", "Z").replace("GMT", "Z")
    try:
        then = datetime.fromisoformat(f"{moment[1]}T{moment[2]}{zone}")
    except ValueError:
        return 0.0
    return max(0.0, then.timestamp() - now)


def _until_time_of_day(time: re.Match[str], now: float) -> float:
    today = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0)
    try:
        then = today.replace(hour=int(time[1]), minute=int(time[2]))
    except ValueError:
        return 0.0
    then += timedelta(days=then.timestamp() <= now)
    return then.timestamp() - now
