"""Batches as providers report them; a module of its own, because `openai` takes long to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COMPLETIONS_PATH: Final = "/v1/chat/completions"
LIVE_STATUSES = ("validating", "in_progress", "finalizing", "cancelling")


@dataclass(frozen=True)
class BatchError:
    """An error of a whole input file, or of one of its lines (counted from 1)."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True)
class ProviderBatch:
    """A batch at its provider.

    See https://platform.openai.com/docs/api-reference/batch/object.

    Attributes:
        id: Its id at the provider.
        status: Its status there, such as `in_progress`.
        name: The name that the store gave it, from its metadata.
        created_at: When it was created, in seconds since 1970.
        output_file: The id of the file of answers, if there is one.
        error_file: The id of the file of errors, if there is one.
        errors: Why the input file was refused.
    """

    id: str
    status: str
    name: str | None = None
    created_at: float = 0.0
    output_file: str | None = None
    error_file: str | None = None
    errors: tuple[BatchError, ...] = ()

    @property
    def is_live(self) -> bool:
        """Return whether it may still produce answers."""
        return self.status in LIVE_STATUSES
