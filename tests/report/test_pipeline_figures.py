"""Figures of the pipeline: buckets of time."""

from __future__ import annotations

import pytest

from annoy_store.report.pipeline_figures import PREFIXES, _prefix


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
def test_prefix_cuts_times_as_finely_as_there_is_room(last: str, width: int) -> None:
    assert _prefix("2026-01-01T00:00:00.000Z", f"{last}.000Z") == width
    assert width in PREFIXES
