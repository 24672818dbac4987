"""How long a provider asks the client to wait, in every form in which it may say so.

`retry-after-ms`, `retry-after` (seconds or an HTTP date, RFC 9110 section 10.2.3), and the reset
times of the rate limits that are used up (`x-ratelimit-reset-requests: 6m0s`, `120ms`, a plain
number, or a point in time). A call is never retried sooner than the provider said: jitter is only
ever added.
"""

from __future__ import annotations

import email.utils
import random
import re
from collections.abc import Mapping

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_LIMITS = ("requests", "tokens", "")


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return how long the headers of a response ask to wait.

    Args:
        headers: The response headers, with lower-case names.
        now: The present time, in seconds since 1970.

    Returns:
        Seconds, or None if no header asks for a wait.
    """
    if (wait := _number(headers.get("retry-after-ms"))) is not None:
        return wait / 1000
    if (text := headers.get("retry-after")) is not None:
        wait = _number(text)
        wait = wait if wait is not None else _until(text, now)
        if wait is not None:
            return wait
    return _reset_seconds(headers, now)


def with_jitter(wait: float) -> float:
    """Return `wait` seconds plus up to a quarter, so that waiting calls do not return together."""
    return wait + random.uniform(0, 0.1 + 0.25 * wait)


def _reset_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return the longest reset time of the used-up limits; without one, the shortest of all."""
    waits: dict[str, float] = {}
    for limit in _LIMITS:
        name = f"x-ratelimit-reset-{limit}".rstrip("-")
        if (wait := duration_seconds(headers.get(name), now)) is not None:
            waits[f"x-ratelimit-remaining-{limit}".rstrip("-")] = wait
    used_up = [wait for name, wait in waits.items() if _number(headers.get(name)) == 0]
    if used_up:
        return max(used_up)
    return min(waits.values(), default=None)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _until(text: str, now: float) -> float | None:
    """Return the seconds from `now` to an HTTP date, at least 0."""
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def duration_seconds(text: str | None, now: float) -> float | None:
    """Parse `1h2m3.5s`, `120ms`, seconds, or a Unix time in seconds or milliseconds."""
    if text is None:
        return None
    if _DURATION.fullmatch(text.strip()):
        return sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(text))
    value = _number(text)
    if value is None:
        return _until(text, now)
    if value > 1e11:
        value /= 1000
    return max(0.0, value - now) if value > 1e9 else value
