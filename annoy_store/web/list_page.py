"""The content of a list's page: rows, facets with counts, sortable columns, and links onward.

Decision: every choice is a link, so that every view has an address; the links keep what is chosen
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from annoy_store.db.engine import Database
from annoy_store.records.annotations import Annotation, marks_of
from annoy_store.web.counts import AllCounts, Counts
from annoy_store.web.jinja import url
from annoy_store.web.list_index import ListIndex
from annoy_store.web.listings import Listing
from annoy_store.web.pagination import (
    PAGE_ROWS,
    ListQuery,
    Page,
    adjacent_id,
    listed_rows,
    page,
)

MAX_CHOICES = 12
MAX_PAGE = 1_000_000


@dataclass(frozen=True)
class Choice:
    """A value of a filter: its number of rows (None if unknown), and the list with it."""

    value: str
    n: int | None
    href: str
    is_chosen: bool


@dataclass(frozen=True)
class Facet:
    """A filter with its values; `omitted` of the rarest are not shown."""

    name: str
    choices: Sequence[Choice]
    omitted: int


@dataclass(frozen=True)
class Heading:
    """A column: its name, the list sorted by it (None if it cannot), and `up`, `down` or ''."""

    name: str
    href: str | None
    mark: str


@dataclass(frozen=True)
class ListView:
    """A list's page.

    Attributes:
        rows: The rows.
        total: Number of rows that are selected; None if it is not known.
        at: Time of the counts, as text; '' before the first.
        facets: The filters.
        headings: The columns that are not empty on this page.
        links: Addresses by `first`, `prev`, `next` and `last`, where there are such pages.
        chosen: Filters, search and order as parameters of an address.
        scanned: The last id that a search has reached, if it is not over.
    """

    rows: Sequence[Mapping[str, Any]]
    total: int | None
    at: str
    facets: Sequence[Facet]
    headings: Sequence[Heading]
    links: Mapping[str, str]
    chosen: Mapping[str, str]
    scanned: int | None = None


def list_view(
    store: Database,
    counted: AllCounts | None,
    listing: Listing,
    query: ListQuery,
    given: Mapping[str, str],
) -> ListView:
    """Return a list's page.

    Args:
        store: The store.
        counted: The counts; None before the first.
        listing: The listing.
        query: Filters and search.
        given: Parameters of the address: `sort` and `page`, or `before` or `after`.
    """
    counts = counted.of[listing.name] if counted else None
    total = counts.total(query.filters) if counts and not query.search else None
    sort = sort_of(listing, query, given)
    index = counted.index if counted else None
    if sort and index:
        number = min(max(1, _number(given.get("page", "")) or 1), MAX_PAGE)
        rows, links, scanned = _sorted_page(index, listing, query, sort, number)
    else:
        rows, links, scanned = _page_by_id(store, index, listing, query, given)
    facets = _facets(counts, listing, query, sort)
    filled = [n for n in listing.columns if not rows or any(r[n] is not None for r in rows)]
    headings = [_heading(name, listing, query, sort) for name in filled]
    rows, marked = _with_marks(store, listing, rows)
    headings += [Heading("marks", None, "")] * marked
    at = counted.at if counted else ""
    chosen = query.url_parameters() | {"sort": sort}
    return ListView(rows, total, at, facets, headings, links, chosen, scanned)


def sort_of(listing: Listing, query: ListQuery, given: Mapping[str, str]) -> str:
    """Return the column that a list is sorted by, with `-` for falling values; '' for none."""
    sort = given.get("sort", "")
    return sort if sort.removeprefix("-") in listing.sortable and not query.search else ""


def row_links(
    store: Database,
    counted: AllCounts | None,
    listing: Listing,
    query: ListQuery,
    given: Mapping[str, str],
    key: int,
) -> dict[str, str]:
    """Return the addresses of the rows before and after a row of a list, and of its page there.

    Args:
        store: The store.
        counted: The counts; None before the first.
        listing: The listing.
        query: Filters and search.
        given: Parameters of the address: `sort`.
        key: Id of the row.
    """
    sort = sort_of(listing, query, given)
    chosen = query.url_parameters() | ({"sort": sort} if sort else {})
    up = {"before": str(key + 1)}
    if sort and counted:
        previous, following, number = counted.index.neighbours(listing, query, sort, key)
        up = {"page": str(number)}
    elif counted and query.filters and not query.search:
        previous, following = (
            next(iter(counted.index.page_ids(listing, query, before, after, 1)), None)
            for before, after in ((None, key), (key, None))
        )
    else:
        with store.read() as connection:
            previous, following = (
                adjacent_id(connection, listing, query, key, newer=newer) for newer in (True, False)
            )
    rows = {"prev": previous, "next": following}
    links = {way: url(f"/{listing.name}/{row}", chosen) for way, row in rows.items() if row}
    return links | {"up": _address(listing, chosen | up)}


Read = tuple[Sequence[Mapping[str, Any]], dict[str, str], int | None]
"""Rows, links and the last id that was scanned."""


def _page_by_id(
    store: Database,
    index: ListIndex | None,
    listing: Listing,
    query: ListQuery,
    given: Mapping[str, str],
) -> Read:
    before, after = (_number(given.get(name, "")) for name in ("before", "after"))
    with store.read() as connection:
        if index and query.filters and not query.search:
            found = _indexed_page(connection, index, listing, query, before, after)
        else:
            found = page(connection, listing, query, before=before, after=after)
    chosen = query.url_parameters()
    links: dict[str, str] = {}
    if found.rows and (before is not None or after is not None):
        links |= {
            "first": _address(listing, chosen),
            "prev": _address(listing, chosen | {"after": str(found.rows[0]["id"])}),
        }
    if found.more and after != 0:
        is_full = len(found.rows) == PAGE_ROWS
        ends_here = found.rows and (is_full or after is not None)
        oldest = found.rows[-1]["id"] if ends_here else found.scanned
        links |= {
            "next": _address(listing, chosen | {"before": str(oldest)}),
            "last": _address(listing, chosen | {"after": "0"}),
        }
        if not is_full and after is None:
            return found.rows, links, found.scanned
    return found.rows, links, None


def _indexed_page(
    connection: Connection,
    index: ListIndex,
    listing: Listing,
    query: ListQuery,
    before: int | None,
    after: int | None,
) -> Page:
    """Return a page under filters, of the rows that were there when the counts were made."""
    most = PAGE_ROWS if after is not None else PAGE_ROWS + 1
    ids = index.page_ids(listing, query, before, after, most)
    rows = listed_rows(connection, listing, ids[:PAGE_ROWS])
    return Page(rows, ids[-1] if ids else 1, after is not None or len(ids) > PAGE_ROWS)


def _sorted_page(
    index: ListIndex, listing: Listing, query: ListQuery, sort: str, number: int
) -> Read:
    ids = index.sorted_ids(listing, query, sort, number)
    with index.store.read() as connection:
        rows = listed_rows(connection, listing, ids[:PAGE_ROWS])
    chosen = query.url_parameters() | {"sort": sort}
    links: dict[str, str] = {}
    if number > 1:
        links |= {
            "first": _address(listing, chosen),
            "prev": _numbered(listing, chosen, number - 1),
        }
    if len(ids) > PAGE_ROWS:
        last = -(-index.total(listing, query) // PAGE_ROWS)
        links |= {
            "next": _numbered(listing, chosen, number + 1),
            "last": _numbered(listing, chosen, min(MAX_PAGE, last)),
        }
    return rows, links, None


def _with_marks(
    store: Database, listing: Listing, rows: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """Return rows with a column `marks`, and whether any is marked; an answer has its chain's, too."""
    ids = [row["id"] for row in rows]
    kinds = (listing.kind, "chain") if listing.kind == "response" else (listing.kind,)
    with store.read() as connection:
        found = [marks_of(connection, kind, ids) for kind in kinds]
    held = {key: [one for marks in found for one in marks.get(key, ())] for key in ids}
    shown = [{**row, "marks": _marks_text(held[row["id"]])} for row in rows]
    return shown, any(held.values())


def _marks_text(held: Sequence[Annotation]) -> str | None:
    """Return marks in one line: the flag, the tags, and that there is a note."""
    words = [one.mark.value if one.mark.kind == "tag" else one.mark.kind for one in held]
    return ", ".join(dict.fromkeys(words)) or None


def _facets(counts: Counts | None, listing: Listing, query: ListQuery, sort: str) -> list[Facet]:
    facets = []
    for name, one in listing.filters.items():
        chosen = query.filters.get(name, "")
        known: list[tuple[str, int | None]] = [(value, None) for value in one.choices]
        if counts is not None:
            known = [*counts.facet(name, query.filters)]
        shown = known[:MAX_CHOICES]
        if chosen and chosen not in dict(shown):
            shown = [*shown, (chosen, dict(known).get(chosen, None))]
        links = [_choice(name, value, n, listing, query, sort) for value, n in shown]
        if query.search:  # a search is not counted
            links = [Choice(one.value, None, one.href, one.is_chosen) for one in links]
        facets.append(Facet(name, links, len(known) - len(known[:MAX_CHOICES])))
    return [f for f in facets if len(f.choices) > 1 or any(one.is_chosen for one in f.choices)]


def _choice(
    name: str, value: str, n: int | None, listing: Listing, query: ListQuery, sort: str
) -> Choice:
    """Return the link that chooses a value, or releases the one that is chosen."""
    is_chosen = query.filters.get(name) == value
    other = query.url_parameters() | {"sort": sort} | {name: "" if is_chosen else value}
    return Choice(value, n, _address(listing, other), is_chosen)


def _heading(name: str, listing: Listing, query: ListQuery, sort: str) -> Heading:
    """Return a column; its link sorts by falling values first, and the third turns sorting off."""
    if name not in listing.sortable or query.search:
        return Heading(name, None, "")
    following = {f"-{name}": name, name: ""}.get(sort, f"-{name}")
    mark = {f"-{name}": "down", name: "up"}.get(sort, "")
    return Heading(name, _address(listing, query.url_parameters() | {"sort": following}), mark)


def _address(listing: Listing, parameters: Mapping[str, str]) -> str:
    return url(f"/{listing.name}", parameters)


def _numbered(listing: Listing, chosen: Mapping[str, str], page: int) -> str:
    return _address(listing, {**chosen, "page": str(page)})


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 19 else None
