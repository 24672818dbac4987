"""Counts of a listing's rows by the values of its filters, and ids in the order of a column.

Decisions
- Rows are counted once by all filters together: some hundred groups, from which the counts of any
  selection follow without another query.
- Both are read from the snapshot, as it was when the counts were made; where no snapshot can be
  kept, from the store.
- A search is not counted or sorted: the snapshot has no texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.engine.default import DefaultDialect

from annoy_store.analysis.snapshot.query import NotInSnapshot, execute, open_runner, open_snapshot
from annoy_store.analysis.sql import Value, run_query
from annoy_store.db.engine import Database
from annoy_store.web.listings import LISTINGS, Listing
from annoy_store.web.pagination import PAGE_ROWS, ListQuery, selected_ids

SNAPSHOT_SECONDS = 5.0
_FAILURES = """
    SELECT stage, state, reason, jobs, example_subject_id FROM v_failures
    ORDER BY jobs DESC, stage, reason LIMIT 8
"""
_ERRORS = """
    SELECT call_id, started_at, status, error_class, error_message FROM attempts
    WHERE status <> 'ok' ORDER BY id DESC LIMIT 5
"""


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
        failures: The most frequent failures: stage, state, reason, jobs and an example's subject.
        errors: The latest calls that failed: call, time, status, class and message.
    """

    of: Mapping[str, Counts]
    at: str
    failures: Sequence[tuple[Any, ...]]
    errors: Sequence[tuple[Any, ...]]


def count_rows(store: Database) -> AllCounts:
    """Count the rows of every listing, on a new snapshot."""
    at = datetime.now(UTC).strftime("%H:%M UTC")
    with open_runner(store) as run:
        counted = {name: _counts(run(_grouped(one)), one) for name, one in LISTINGS.items()}
        return AllCounts(counted, at, run(_FAILURES), run(_ERRORS))


def _grouped(listing: Listing) -> str:
    columns = [one.column.label(f"f_{name}") for name, one in listing.filters.items()]
    inner = select(*columns).select_from(listing.joined).subquery("rows_by_filter")
    grouped = select(*inner.c, func.count().label("n")).group_by(*inner.c)
    # The values in it are those of the listing: nothing that a reader typed.
    return str(grouped.compile(dialect=DefaultDialect(), compile_kwargs={"literal_binds": True}))


def _counts(rows: Sequence[Sequence[Any]], listing: Listing) -> Counts:
    groups = [(tuple(None if v is None else str(v) for v in values), int(n)) for *values, n in rows]
    return Counts(tuple(listing.filters), groups)


def sorted_ids(
    store: Database, listing: Listing, query: ListQuery, order: str, page: int
) -> list[int]:
    """Return the ids of one page in the order of a column, and one more if there is a next page.

    Args:
        store: The store.
        listing: The listing.
        query: Filters; a search is ignored.
        order: Name of the column, with `-` before it for falling values.
        page: Number of the page, from 1.
    """
    column = listing.columns[order.removeprefix("-")]
    ordered = column.desc() if order.startswith("-") else column.asc()
    # Without the joins of the other columns, a query takes a tenth of the time.
    joined = any(table is not listing.key.table for table in select(column).get_final_froms())
    chosen = selected_ids(listing, ListQuery(query.filters), joined=joined)
    chosen = chosen.order_by(ordered.nulls_last(), listing.key.desc())
    text, values = _text(chosen)
    # Numbers in the text, for DuckDB and PostgreSQL take no untyped parameter there.
    text += f" LIMIT {PAGE_ROWS + 1} OFFSET {PAGE_ROWS * (page - 1)}"
    return [int(row[0]) for row in run_on_snapshot(store, text, values)]


def run_on_snapshot(
    store: Database, text: str, values: Mapping[str, Value]
) -> list[tuple[Any, ...]]:
    """Run a SELECT of the package on the snapshot as it is, or on the store if it has none.

    Args:
        store: The store.
        text: The SELECT; `:name` stands for `values[name]`.
        values: Values of its parameters.
    """
    try:
        with (
            open_snapshot(store, fresh=False) as duck,
            execute(duck, text, values, SNAPSHOT_SECONDS) as found,
        ):
            return list(found.rows)
    except (NotInSnapshot, OSError):
        with run_query(store, text, values, SNAPSHOT_SECONDS) as found:
            return list(found.rows)


def _text(chosen: Select[Any]) -> tuple[str, dict[str, Any]]:
    """Return a statement as text that the store and its snapshot run, and its parameters."""
    compiled = chosen.compile(dialect=DefaultDialect(paramstyle="named"))
    return str(compiled), dict(compiled.params)
