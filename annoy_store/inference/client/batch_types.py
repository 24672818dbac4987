"""Batches as providers tell of them; apart, because `openai` takes long to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COMPLETIONS_PATH: Final = "/v1/chat/completions"
LIVE_STATUSES = ("validating", "in_progress", "finalizing", "cancelling")


@dataclass(frozen=True)
class BatchError:
    """What a provider says is wrong with a whole file, or with a line of it (counted from 1)."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True)
class ProviderBatch:
    """A batch as its provider tells of it."""

    id: str
    status: str
    name: str | None = None
    created_at: float = 0.0
    output_file: str | None = None
    error_file: str | None = None
    errors: tuple[BatchError, ...] = ()

    @property
    def is_live(self) -> bool:
        return self.status in LIVE_STATUSES
