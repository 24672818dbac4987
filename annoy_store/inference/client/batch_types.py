"""Batches as providers tell of them; apart, because `openai` takes long to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

URL: Final = "/v1/chat/completions"
LIVE = ("validating", "in_progress", "finalizing", "cancelling")


@dataclass(frozen=True)
class Complaint:
    """What a provider says is wrong with a whole file, or with a line of it (counted from 1)."""

    code: str
    words: str
    line: int | None = None


@dataclass(frozen=True)
class Remote:
    """A batch as its provider tells of it."""

    id: str
    status: str
    name: str | None = None
    created_at: float = 0.0
    output_file: str | None = None
    error_file: str | None = None
    complaints: tuple[Complaint, ...] = ()

    @property
    def is_live(self) -> bool:
        return self.status in LIVE
