"""Counts of one import, and of the rows that it added to the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, func, select

from annoy_store.db.engine import Database
from annoy_store.db.tables import (
    calls,
    io_pairs,
    origins,
    prompts,
    responses,
    samples,
    sources,
    turns,
    verdicts,
)
from annoy_store.ingest.record_files import Refusals

COUNTED_TABLES = (sources, origins, prompts, calls, responses, samples, io_pairs, turns, verdicts)


@dataclass
class ImportReport(Refusals):
    """Counts of one import so far.

    Attributes:
        files: Kind of each file, by its path below the given one.
        rows: Rows by kind.
        known: Rows by kind that were in the store already.
        new: Inserted rows by table.
        left: Rows that still need work, by stage or reason.
    """

    files: dict[str, str] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    new: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    @property
    def accepted(self) -> int:
        """Number of rows that were accepted."""
        return sum(self.rows.values())


def newest_ids(store: Database) -> dict[str, int]:
    """Return the highest id of each counted table."""
    with store.read() as connection:
        return {t.name: connection.scalar(select(func.max(t.c.id))) or 0 for t in COUNTED_TABLES}


def count_new(store: Database, before: Mapping[str, int], done: ImportReport) -> None:
    """Count the rows of each table that came after `before` into the report."""

    def newer(table: Table) -> Any:
        return select(func.count()).select_from(table).where(table.c.id > before[table.name])

    with store.read() as connection:
        done.new.update({t.name: int(connection.scalar(newer(t)) or 0) for t in COUNTED_TABLES})
