"""What a stage returns: the outcome of a job, and its new rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Table

Row = Mapping[str, Any]
JobState = Literal["pending", "claimed", "done", "rejected", "failed", "deferred", "suspect"]


@dataclass(frozen=True, eq=False)
class NewRow:
    """A row to insert unless its natural key exists; a value that is a NewRow stands for its id."""

    table: Table
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one job.

    Attributes:
        state: the new state of the job; `pending` returns it and keeps its rows.
        rows: the rows to insert.
        reason: a short code to group by (`syntax_error`, `missing_module:sympy`), unless done.
        detail: a sentence that explains the reason.
    """

    state: JobState
    rows: tuple[NewRow, ...] = ()
    reason: str | None = None
    detail: str | None = None


def done(*rows: NewRow) -> Outcome:
    """Return the outcome of a job that is done, with its new rows."""
    return Outcome("done", rows)


def rejected(reason: str, *rows: NewRow, detail: str | None = None) -> Outcome:
    """Return the outcome of a job that cannot succeed because of its subject.

    Args:
        reason: A short code to group by, e.g. `too_long` or `missing_module:sympy`.
        *rows: Rows that are inserted all the same.
        detail: A sentence that explains the reason.
    """
    return Outcome("rejected", rows, reason, detail)


def failed(reason: str, *rows: NewRow, detail: str | None = None) -> Outcome:
    """Return the outcome of a job that failed for a reason other than its subject.

    `annoy retry` requeues it.

    Args:
        reason: A short code to group by, e.g. `http_500`.
        *rows: Rows that are inserted all the same, such as attempts.
        detail: A sentence that explains the reason.
    """
    return Outcome("failed", rows, reason, detail)
