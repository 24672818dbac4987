"""Lines of a lineage."""

from __future__ import annotations

from typing import Any

from annoy_store.analysis.lineage_text import format_attempt


def test_format_attempt_tells_what_was_kept_beside_it() -> None:
    row: dict[str, Any] = {"status": "retry", "error_class": "incomplete", "http_status": None}
    row |= {f"{n}_tokens": None for n in ("prompt", "cached", "completion", "reasoning")}
    row |= {"latency_ms": 1500.0, "error_message": "finish_reason error"}
    bare = format_attempt(row | {"text": None, "reasoning": None})
    assert bare == "[attempt retry incomplete, 1.5 s: finish_reason error]"
    assert "7 characters kept" in format_attempt(row | {"text": "half", "reasoning": "why"})
