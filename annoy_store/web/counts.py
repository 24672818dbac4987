"""Counts of a listing's rows by the values of its filters.

Decisions
- Rows are counted once by all filters together: some hundred groups, from which the counts of any
  selection follow without another query.
- They are kept with the snapshot, so a page has them at once; it says how old they are.
- A search is not counted: the snapshot has no texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from annoy_store.analysis.snapshot.derived import derive, open_derived
from annoy_store.analysis.snapshot.query import NotInSnapshot
from annoy_store.db.engine import Database
from annoy_store.web.list_index import ListIndex, derived_queries
from annoy_store.web.listings import LISTINGS, Listing


@dataclass(frozen=True)
class Counts:
    """Numbers of rows of one listing.

    Attributes:
        names: Names of the filters.
        groups: One value for each filter, as text or None, and the number of rows with them.
    """

    names: Sequence[str]
    groups: Sequence[tuple[tuple[str | None, ...], int]]

    def total(self, filters: Mapping[str, str]) -> int:
        """Return the number of rows that the filters select."""
        return sum(n for values, n in self.groups if self._is_selected(values, filters))

    def facet(self, name: str, filters: Mapping[str, str]) -> list[tuple[str, int]]:
        """Return the values of one filter with their rows under the other filters, most first."""
        others = {key: value for key, value in filters.items() if key != name}
        at = self.names.index(name)
        counted: Counter[str] = Counter()
        for values, n in self.groups:
            value = values[at]
            if value is not None and self._is_selected(values, others):
                counted[value] += n
        return counted.most_common()

    def models(self) -> list[str]:
        """Return the models that answered first-turn questions, those with most answers first."""
        return [model for model, _ in self.facet("model", {"turn": "1"})]

    def pass_rates(self) -> list[tuple[str, str, int, int]]:
        """Return question, model, checked answers and correct ones of first turns."""
        checked: Counter[tuple[str, str]] = Counter()
        correct: Counter[tuple[str, str]] = Counter()
        for values, n in self.groups:
            row = dict(zip(self.names, values, strict=True))
            if row["turn"] == "1" and row["status"]:
                key = str(row["question"]), str(row["model"])
                checked[key] += n
                correct[key] += n if row["status"] == "correct" else 0
        return [(*key, checked[key], correct[key]) for key in sorted(checked)]

    def _is_selected(self, values: Sequence[str | None], filters: Mapping[str, str]) -> bool:
        return all(values[self.names.index(name)] == value for name, value in filters.items())


@dataclass(frozen=True)
class AllCounts:
    """The counts of all listings, and the failures at the time of them.

    Attributes:
        of: The counts by the name of the listing.
        at: Their time, as text.
        failures: The most frequent failures: stage, state, reason, jobs, an example's subject and
            its detail.
        errors: The latest calls that failed: call, time, status, class and message.
        index: The derived tables that they were counted in.
    """

    of: Mapping[str, Counts]
    at: str
    failures: Sequence[tuple[Any, ...]]
    errors: Sequence[tuple[Any, ...]]
    index: ListIndex


def count_rows(store: Database) -> AllCounts:
    """Count the rows of every listing, on a new snapshot."""
    try:
        return _read(ListIndex(store, derive(store, derived_queries())))
    except NotInSnapshot:
        return _read(ListIndex(store, None))


def known_counts(store: Database) -> AllCounts | None:
    """Return the counts of the last snapshot; None without one."""
    tables = open_derived(store, derived_queries())
    return _read(ListIndex(store, tables)) if tables else None


def _read(index: ListIndex) -> AllCounts:
    at = index.tables.at if index.tables else datetime.now(UTC)
    counted = {name: _counts(index.whole(f"count_{name}"), one) for name, one in LISTINGS.items()}
    failures, errors = index.whole("failures"), index.whole("errors")
    return AllCounts(counted, f"{at:%H:%M UTC}", failures, errors, index)


def _counts(rows: Sequence[Sequence[Any]], listing: Listing) -> Counts:
    groups = [(tuple(None if v is None else str(v) for v in values), int(n)) for *values, n in rows]
    return Counts(tuple(listing.filters), groups)
