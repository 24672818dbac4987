"""What a stage returns: how a job ended, and the rows that it made."""

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
    """How one job ended.

    Attributes:
        state: the new state of the job; `pending` returns it and keeps its rows.
        rows: the rows that it made.
        reason: a word that can be counted (`syntax_error`, `missing_module:sympy`), unless done.
        detail: the sentence that goes with the reason.
    """

    state: JobState
    rows: tuple[NewRow, ...] = ()
    reason: str | None = None
    detail: str | None = None


def done(*rows: NewRow) -> Outcome:
    """Return the outcome of a job that is done and made `rows`."""
    return Outcome("done", rows)


def rejected(reason: str, *rows: NewRow, detail: str | None = None) -> Outcome:
    """Return the outcome of a job whose subject is at fault, in the way that `reason` names.

    Args:
        reason: A word that can be counted, e.g. `too_long` or `missing_module:sympy`.
        *rows: Rows that are kept all the same.
        detail: The sentence that goes with the reason.
    """
    return Outcome("rejected", rows, reason, detail)


def failed(reason: str, *rows: NewRow, detail: str | None = None) -> Outcome:
    """Return the outcome of a job that failed for a reason outside of its subject.

    `annoy retry` requeues it.

    Args:
        reason: A word that can be counted, e.g. `http_500`.
        *rows: Rows that are kept all the same, such as attempts.
        detail: The sentence that goes with the reason.
    """
    return Outcome("failed", rows, reason, detail)
