"""The text form of times in the store."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """Return the present time as stored: ISO 8601, UTC, to the millisecond, with `Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
