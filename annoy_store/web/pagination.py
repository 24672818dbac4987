"""Pages of a listing, read by windows of ids.

Decisions
- A page scans windows of ids: each is one cheap statement, and after `SECONDS` the scan stops and
  reports its position. No OFFSET, no count, no unbounded scan.
- A search compares texts with the search text as a whole, ignoring case.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Integer, Select, func, or_, select

from annoy_store.db.sql import in_values
from annoy_store.web.listings import Listing

PAGE_ROWS = 40
SECONDS, SECONDS_ADJACENT = 0.3, 0.1  # time limits of a page, and of an adjacent row
FIRST_WINDOW, LAST_WINDOW = 512, 262_144  # ids of the first window and of the largest


@dataclass(frozen=True)
class ListQuery:
    """The selection of a listing's rows.

    Attributes:
        filters: Values by name of the filter.
        search: Text to search for; '' for none.
    """

    filters: Mapping[str, str] = field(default_factory=dict)
    search: str = ""

    def url_parameters(self) -> dict[str, str]:
        """Return the selection as parameters of an address."""
        return {k: v for k, v in {**self.filters, "q": self.search}.items() if v}


@dataclass(frozen=True)
class Page:
    """A page of rows.

    Attributes:
        rows: The rows by falling id.
        scanned: The last id that was scanned.
        more: True if there may be further rows.
    """

    rows: Sequence[Mapping[str, Any]]
    scanned: int
    more: bool


def page(
    connection: Connection,
    listing: Listing,
    query: ListQuery,
    *,
    before: int | None = None,
    after: int | None = None,
    most: int = PAGE_ROWS,
) -> Page:
    """Return a page of rows, newest first.

    Args:
        connection: A connection to the store.
        listing: The listing.
        query: Filters and search.
        before: Return rows below this id; None starts at the newest.
        after: Return the nearest rows above this id instead.
        most: Largest number of rows.
    """
    if after is None:
        ids, scanned, more = _older(connection, listing, query, before, most, SECONDS)
    else:
        ids, scanned, more = _newer(connection, listing, query, after, most, SECONDS)
    return Page(listed_rows(connection, listing, ids), scanned, more)


def adjacent_id(
    connection: Connection, listing: Listing, query: ListQuery, key: int, *, newer: bool
) -> int | None:
    """Return the id of the selected row next to another; None if none is found in time.

    Args:
        connection: A connection to the store.
        listing: The listing.
        query: Filters and search.
        key: Id of the other row.
        newer: Search upwards.
    """
    scan = _newer if newer else _older
    ids, _, _ = scan(connection, listing, query, key, 1, SECONDS_ADJACENT)
    return ids[0] if ids else None


# Windows of ids ------------------------------------------------------------------------------

IdPage = tuple[list[int], int, bool]
"""Ids by falling value, the last id that was scanned, and whether there may be more."""


def _older(
    connection: Connection,
    listing: Listing,
    query: ListQuery,
    before: int | None,
    most: int,
    seconds: float,
) -> IdPage:
    high = _max_id(connection, listing.key) + 1
    high = high if before is None else min(before, high)
    found: list[int] = []
    width, start = FIRST_WINDOW, time.monotonic()
    while high > 1:
        low = max(1, high - width)
        chosen = _ids(listing, query, low, high).order_by(listing.key.desc())
        found += connection.scalars(chosen.limit(most + 1 - len(found)))
        high = low
        if len(found) > most:
            return found[:most], found[most - 1], True
        spent = (time.monotonic() - start) / (seconds or 1e-9)
        if spent > 1:
            return found, low, low > 1
        width = _next_width(width, spent)
    return found, 1, False


def _newer(
    connection: Connection,
    listing: Listing,
    query: ListQuery,
    after: int,
    most: int,
    seconds: float,
) -> IdPage:
    """Scan upwards; the ids are returned by falling value too."""
    end = _max_id(connection, listing.key) + 1
    found: list[int] = []
    low, width, start = max(0, after) + 1, FIRST_WINDOW, time.monotonic()
    while low < end and len(found) < most:
        high = min(low + width, end)
        chosen = _ids(listing, query, low, high).order_by(listing.key)
        found += connection.scalars(chosen.limit(most - len(found)))
        low = high
        spent = (time.monotonic() - start) / (seconds or 1e-9)
        if spent > 1:
            break
        width = _next_width(width, spent)
    return found[::-1], found[0] if found else low, True


def _next_width(width: int, spent: float) -> int:
    """Return the next window: twice as wide while little time is spent, else half as wide."""
    return min(LAST_WINDOW, width * 2) if spent < 0.4 else max(FIRST_WINDOW, width // 2)


def _max_id(connection: Connection, key: Column[Any]) -> int:
    return int(connection.scalar(select(func.max(key))) or 0)


def _ids(listing: Listing, query: ListQuery, low: int, high: int) -> Select[Any]:
    return _selected_ids(listing, query).where(listing.key >= low, listing.key < high)


def _selected_ids(listing: Listing, query: ListQuery) -> Select[Any]:
    """Return the SELECT of the ids that filters and search select."""
    wanted: list[ColumnElement[bool]] = [
        equals(listing.filters[name].column, value)
        for name, value in query.filters.items()
        if value and name in listing.filters
    ]
    if query.search:
        matches = [text.icontains(query.search, autoescape=True) for text in listing.search_columns]
        wanted.append(or_(*matches))
    narrowed = listing.joined if query.filters else listing.key.table
    return select(listing.key).select_from(narrowed).where(*wanted)


def equals(compared: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    """Return the condition that a column has a value, which is given as text."""
    if isinstance(compared.type, Integer):
        return compared == int(value) if value.isdecimal() and len(value) < 10 else compared < 0
    return compared == value


def listed_rows(
    connection: Connection, listing: Listing, ids: Sequence[int]
) -> list[Mapping[str, Any]]:
    """Return the columns of rows, in the order of their ids."""
    shown = [value.label(name) for name, value in listing.columns.items()]
    chosen = select(listing.key.label("id"), *shown).select_from(listing.joined)
    found = connection.execute(chosen.where(in_values(connection, listing.key, ids))).mappings()
    by_id = {row["id"]: dict(row) for row in found}
    return [by_id[key] for key in ids if key in by_id]
