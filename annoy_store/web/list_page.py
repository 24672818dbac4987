"""The content of a list's page: rows, facets with counts, sortable columns, and links onward.

Decision: every choice is a link, so that every view has an address; the links keep what is chosen
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.db.engine import Database
from annoy_store.web.counts import AllCounts, Counts, sorted_ids
from annoy_store.web.jinja import url
from annoy_store.web.listings import Listing
from annoy_store.web.pagination import PAGE_ROWS, ListQuery, listed_rows, page

MAX_CHOICES = 12
MAX_PAGE = 25_000


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
        scanned: The last id that a search has reached, if it is not over.
    """

    rows: Sequence[Mapping[str, Any]]
    total: int | None
    at: str
    facets: Sequence[Facet]
    headings: Sequence[Heading]
    links: Mapping[str, str]
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
    sort = given.get("sort", "")
    sort = sort if sort.removeprefix("-") in listing.sortable and not query.search else ""
    total = counts.total(query.filters) if counts and not query.search else None
    read = _sorted_page if sort else _page_by_id
    rows, links, scanned = read(store, listing, query, given, sort, total)
    facets = _facets(counts, listing, query, sort)
    filled = [n for n in listing.columns if not rows or any(r[n] is not None for r in rows)]
    headings = [_heading(name, listing, query, sort) for name in filled]
    return ListView(rows, total, counted.at if counted else "", facets, headings, links, scanned)


Read = tuple[Sequence[Mapping[str, Any]], dict[str, str], int | None]
"""Rows, links and the last id that was scanned."""


def _page_by_id(
    store: Database,
    listing: Listing,
    query: ListQuery,
    given: Mapping[str, str],
    _: str,
    __: int | None,
) -> Read:
    before, after = (_number(given.get(name, "")) for name in ("before", "after"))
    with store.read() as connection:
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


def _sorted_page(
    store: Database,
    listing: Listing,
    query: ListQuery,
    given: Mapping[str, str],
    sort: str,
    total: int | None,
) -> Read:
    number = min(max(1, _number(given.get("page", "")) or 1), MAX_PAGE)
    ids = sorted_ids(store, listing, query, sort, number)
    with store.read() as connection:
        rows = listed_rows(connection, listing, ids[:PAGE_ROWS])
    chosen = query.url_parameters() | {"sort": sort}
    links: dict[str, str] = {}
    if number > 1:
        links |= {
            "first": _address(listing, chosen),
            "prev": _numbered(listing, chosen, number - 1),
        }
    if len(ids) > PAGE_ROWS:
        links["next"] = _numbered(listing, chosen, number + 1)
        if total:
            links["last"] = _numbered(listing, chosen, min(MAX_PAGE, -(-total // PAGE_ROWS)))
    return rows, links, None


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
