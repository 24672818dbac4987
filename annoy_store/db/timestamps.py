"""The text form of times that the store keeps."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """The present time as the text that the store keeps: UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
