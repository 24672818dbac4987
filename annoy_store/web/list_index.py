"""The lists as derived tables: ids under filters, in the order of a column, without a scan.

Decisions
- Each list is a table of its ids with the columns that it is filtered and sorted by. It is computed
  from the snapshot; texts are read from the store, for the rows of one page.
- A page near the end of a sorted list is read from its end, so the last page costs as little as the
  first.
- Empty values are last in either direction, and rows with equal values are in the order of the list.
- Where no snapshot can be kept, the same statements run on the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    column,
    func,
    select,
    table,
)
from sqlalchemy.engine.default import DefaultDialect

from annoy_store.analysis.snapshot.derived import DerivedTables
from annoy_store.analysis.sql import Value, run_query
from annoy_store.db.engine import Database
from annoy_store.web.listings import LISTINGS, Listing
from annoy_store.web.pagination import PAGE_ROWS, ListQuery, equals

STORE_SECONDS = 5.0  # of a statement on the store
Order = tuple[ColumnElement[Any], ...]


@dataclass(frozen=True)
class ListIndex:
    """The derived tables of a store.

    Attributes:
        store: The store.
        tables: The tables; None where no snapshot can be kept.
    """

    store: Database
    tables: DerivedTables | None

    def whole(self, name: str) -> list[tuple[Any, ...]]:
        """Return all rows of a derived table, in their order."""
        if self.tables:
            return self.tables.rows(f'SELECT * FROM "{name}"')
        with run_query(self.store, derived_queries(live=True)[name]) as found:
            return list(found.rows)

    def source(self, name: str) -> str:
        """Return what stands for a derived table in the FROM of a statement."""
        return name if self.tables else f"({derived_queries(live=True)[name]}) AS {name}"

    def rows(self, query: str, values: Mapping[str, Value] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT of the package.

        Args:
            query: The SELECT; `:name` stands for `values[name]`.
            values: Values of its parameters.
        """
        if self.tables:
            return self.tables.rows(query, values)
        with run_query(self.store, query, values, STORE_SECONDS) as found:
            return list(found.rows)

    # Ids of a list ----------------------------------------------------------------------------

    def total(self, listing: Listing, query: ListQuery) -> int:
        """Return the number of rows that the filters of a query select."""
        ((n,),) = self._run(self._chosen(listing, query, func.count()))
        return int(n)

    def page_ids(
        self, listing: Listing, query: ListQuery, before: int | None, after: int | None, most: int
    ) -> list[int]:
        """Return ids that the filters select, by falling value.

        Args:
            listing: The listing.
            query: Filters; a search is ignored.
            before: Return ids below this one.
            after: Return the nearest ids above this one instead.
            most: Largest number of ids.
        """
        key = self._table(listing).c.id
        chosen = self._chosen(listing, query, key)
        if after is not None:
            return self._ids(chosen.where(key > after).order_by(key), most)[::-1]
        if before is not None:
            chosen = chosen.where(key < before)
        return self._ids(chosen.order_by(key.desc()), most)

    def sorted_ids(self, listing: Listing, query: ListQuery, sort: str, page: int) -> list[int]:
        """Return the ids of one page in the order of a column, and one more if there is a next page.

        Args:
            listing: The listing.
            query: Filters; a search is ignored.
            sort: Name of the column, with `-` before it for falling values.
            page: Number of the page, from 1.
        """
        rows = self._table(listing)
        chosen = self._chosen(listing, query, rows.c.id)
        first, total = PAGE_ROWS * (page - 1), self.total(listing, query)
        most = min(PAGE_ROWS + 1, total - first)
        if most <= 0:
            return []
        if first <= total // 2:
            return self._ids(chosen.order_by(*_order(rows, sort)), most, first)
        backwards = chosen.order_by(*_order(rows, sort, backwards=True))
        return self._ids(backwards, most, total - first - most)[::-1]

    def neighbours(
        self, listing: Listing, query: ListQuery, sort: str, key: int
    ) -> tuple[int | None, int | None, int]:
        """Return the ids before and after a row in the order of a column, and its page from 1.

        Args:
            listing: The listing.
            query: Filters; a search is ignored.
            sort: Name of the column, with `-` before it for falling values.
            key: Id of the row.
        """
        rows = self._table(listing)
        column_ = rows.c[sort.removeprefix("-")]
        found = self._run(select(column_).where(rows.c.id == key))
        if not found:
            return None, None, 1
        before, after = _sides(rows, sort, found[0][0], key)
        chosen = self._chosen(listing, query, rows.c.id)
        previous = chosen.where(before).order_by(*_order(rows, sort, backwards=True))
        following = chosen.where(after).order_by(*_order(rows, sort))
        ((n,),) = self._run(self._chosen(listing, query, func.count()).where(before))
        ids = [*self._ids(previous, 1), None][0], [*self._ids(following, 1), None][0]
        return *ids, int(n) // PAGE_ROWS + 1

    def _table(self, listing: Listing) -> FromClause:
        return _table(listing.name, self.tables is not None)

    def _chosen(self, listing: Listing, query: ListQuery, value: ColumnElement[Any]) -> Select[Any]:
        rows = self._table(listing)
        wanted = [
            equals(rows.c[name], text)
            for name, text in query.filters.items()
            if text and name in listing.filters
        ]
        return select(value).select_from(rows).where(*wanted)

    def _ids(self, chosen: Select[Any], most: int, skipped: int = 0) -> list[int]:
        # Numbers in the text, for DuckDB and PostgreSQL take no untyped parameter there.
        return [int(row[0]) for row in self._run(chosen, f" LIMIT {most} OFFSET {skipped}")]

    def _run(self, chosen: Select[Any], end: str = "") -> list[tuple[Any, ...]]:
        compiled = chosen.compile(dialect=DefaultDialect(paramstyle="named"))
        return self.rows(f"{compiled}{end}", dict(compiled.params))


def _order(rows: FromClause, sort: str, *, backwards: bool = False) -> Order:
    value = rows.c[sort.removeprefix("-")]
    if backwards:
        ordered = value.asc() if sort.startswith("-") else value.desc()
        return ordered.nulls_first(), rows.c.id.asc()
    ordered = value.desc() if sort.startswith("-") else value.asc()
    return ordered.nulls_last(), rows.c.id.desc()


def _sides(
    rows: FromClause, sort: str, value: Any, key: int
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions of the rows before and after one in an order."""
    of, row = rows.c[sort.removeprefix("-")], rows.c.id
    if value is None:
        return of.is_not(None) | (row > key), of.is_(None) & (row < key)
    nearer, farther = (of > value, of < value) if sort.startswith("-") else (of < value, of > value)
    is_same = of == value
    return nearer | (is_same & (row > key)), farther | (is_same & (row < key)) | of.is_(None)


# The derived tables --------------------------------------------------------------------------

_FAILURES = """
    SELECT stage, state, reason, jobs, example_subject_id, example_detail FROM v_failures
    ORDER BY jobs DESC, stage, reason LIMIT 200
"""
_ERRORS = """
    SELECT call_id, started_at, status, error_class, error_message FROM attempts
    WHERE status <> 'ok' ORDER BY id DESC LIMIT 5
"""
_COMPARED = """
    SELECT a.prompt_id, t.model, MIN(a.kind) AS kind, MIN(a.response_id) AS response_id,
           MAX(CASE WHEN a.status = 'correct' THEN 1 ELSE 0 END) AS correct
    FROM v_answers a JOIN teachers t ON t.id = a.teacher_id
    WHERE a.number = 1 AND a.status IS NOT NULL
    GROUP BY a.prompt_id, t.model ORDER BY 1
"""


@cache
def derived_queries(*, live: bool = False) -> dict[str, str]:
    """Return the SELECT of every derived table of the pages, by its name.

    Args:
        live: Return what the store runs, which has no such tables.
    """
    queries: dict[str, str] = {}
    for name, listing in LISTINGS.items():
        counted = _rows_of(listing).subquery() if live else _table(name, True, "derived")
        queries[f"list_{name}"] = f"{_literal(_rows_of(listing))} ORDER BY 1"
        queries[f"count_{name}"] = _literal(_grouped(listing, counted))
    return {**queries, "failures": _FAILURES, "errors": _ERRORS, "compared": _COMPARED}


def _rows_of(listing: Listing) -> Select[Any]:
    """Return the SELECT of a list's ids, with the columns of its filters and its order."""
    ordered = {name: listing.columns[name] for name in listing.sortable}
    columns = ordered | {name: one.column for name, one in listing.filters.items()}
    shown = [value.label(name) for name, value in columns.items()]
    return select(listing.key.label("id"), *shown).select_from(listing.joined)


def _grouped(listing: Listing, rows: FromClause) -> Select[Any]:
    columns = [rows.c[name] for name in listing.filters]
    return select(*columns, func.count().label("n")).group_by(*columns)


@cache
def _table(name: str, is_derived: bool, schema: str | None = None) -> FromClause:
    """Return the rows of a list; always the same object, so that a statement names it once."""
    rows = _rows_of(LISTINGS[name])
    if not is_derived:
        return rows.subquery(f"list_{name}")
    columns = [column(str(one.key), one.type) for one in rows.selected_columns]
    return table(f"list_{name}", *columns, schema=schema)


def _literal(chosen: Select[Any]) -> str:
    """Return a statement without parameters: its values are those of the package."""
    return str(chosen.compile(dialect=DefaultDialect(), compile_kwargs={"literal_binds": True}))
