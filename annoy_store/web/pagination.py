"""A page of a listing, by windows of ids.

Decisions
- A page looks through windows of ids: each is one cheap statement, and after `SECONDS` of them it
  stops and says how far it came. No OFFSET, no count, no scan without an end.
- Search means that a text holds the words as they are, in any case.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Integer, Select, func, or_, select

from annoy_store.db.sql import in_values
from annoy_store.web.listings import Listing

PAGE = 40
SECONDS, SECONDS_BESIDE = 0.6, 0.25  # to fill a page, and to find a row beside another
FIRST_WINDOW, LAST_WINDOW = 512, 262_144


@dataclass(frozen=True)
class Wish:
    """What a reader wants of a listing: values of filters, and words to search for."""

    filters: Mapping[str, str] = field(default_factory=dict)
    words: str = ""

    def query(self) -> dict[str, str]:
        """The wish as the parameters of a link."""
        return {k: v for k, v in {**self.filters, "q": self.words}.items() if v}


@dataclass(frozen=True)
class Page:
    """Rows by falling id. `scanned` is the last id looked at; `more` says that there are others."""

    rows: Sequence[Mapping[str, Any]]
    scanned: int
    more: bool


def page(
    connection: Connection,
    listing: Listing,
    wish: Wish,
    *,
    before: int | None = None,
    after: int | None = None,
    most: int = PAGE,
) -> Page:
    """Return rows with an id below `before`, or the nearest above `after`; newest first."""
    if after is None:
        ids, scanned, more = _older(connection, listing, wish, before, most, SECONDS)
    else:
        ids, scanned, more = _newer(connection, listing, wish, after, most, SECONDS)
    return Page(_rows(connection, listing, ids), scanned, more)


def neighbour(
    connection: Connection, listing: Listing, wish: Wish, key: int, *, newer: bool
) -> int | None:
    """Return the id of the row beside one, of those that a reader wants; None if none is near."""
    look = _newer if newer else _older
    ids, _, _ = look(connection, listing, wish, key, 1, SECONDS_BESIDE)
    return ids[0] if ids else None


# Windows of ids ------------------------------------------------------------------------------

Found = tuple[list[int], int, bool]


def _older(
    connection: Connection,
    listing: Listing,
    wish: Wish,
    before: int | None,
    most: int,
    seconds: float,
) -> Found:
    high = _end(connection, listing.key) + 1
    high = high if before is None else min(before, high)
    found: list[int] = []
    width, start = FIRST_WINDOW, time.monotonic()
    while high > 1:
        low = max(1, high - width)
        chosen = _ids(listing, wish, low, high).order_by(listing.key.desc())
        found += connection.scalars(chosen.limit(most + 1 - len(found)))
        high = low
        if len(found) > most:
            return found[:most], found[most - 1], True
        spent = (time.monotonic() - start) / (seconds or 1e-9)
        if spent > 1:
            return found, low, low > 1
        width = _wider(width, spent)
    return found, 1, False


def _newer(
    connection: Connection, listing: Listing, wish: Wish, after: int, most: int, seconds: float
) -> Found:
    """The same the other way; ids come out falling too."""
    end = _end(connection, listing.key) + 1
    found: list[int] = []
    low, width, start = max(0, after) + 1, FIRST_WINDOW, time.monotonic()
    while low < end and len(found) < most:
        high = min(low + width, end)
        chosen = _ids(listing, wish, low, high).order_by(listing.key)
        found += connection.scalars(chosen.limit(most - len(found)))
        low = high
        spent = (time.monotonic() - start) / (seconds or 1e-9)
        if spent > 1:
            break
        width = _wider(width, spent)
    return found[::-1], found[0] if found else low, True


def _wider(width: int, spent: float) -> int:
    """Twice as wide a window while little of the time is spent, else one that ends near it."""
    return min(LAST_WINDOW, width * 2) if spent < 0.4 else max(FIRST_WINDOW, width // 2)


def _end(connection: Connection, key: Column[Any]) -> int:
    return int(connection.scalar(select(func.max(key))) or 0)


def _ids(listing: Listing, wish: Wish, low: int, high: int) -> Select[Any]:
    wanted: list[ColumnElement[bool]] = [
        _equals(listing.filters[name].column, value)
        for name, value in wish.filters.items()
        if value and name in listing.filters
    ]
    if wish.words:
        held = [text.icontains(wish.words, autoescape=True) for text in listing.searched]
        wanted.append(or_(*held))
    narrowed = listing.joined if wish.filters else listing.key.table
    chosen = select(listing.key).select_from(narrowed)
    return chosen.where(listing.key >= low, listing.key < high, *wanted)


def _equals(compared: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    if isinstance(compared.type, Integer):
        return compared == int(value) if value.isdecimal() and len(value) < 10 else compared < 0
    return compared == value


def _rows(connection: Connection, listing: Listing, ids: Sequence[int]) -> list[Mapping[str, Any]]:
    shown = [value.label(name) for name, value in listing.columns.items()]
    chosen = select(listing.key.label("id"), *shown).select_from(listing.joined)
    found = connection.execute(chosen.where(in_values(connection, listing.key, ids))).mappings()
    by_id = {row["id"]: dict(row) for row in found}
    return [by_id[key] for key in ids if key in by_id]
