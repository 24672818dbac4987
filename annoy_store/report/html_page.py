"""The report as one HTML page: figures, their data, and the rows that they link to.

Decision: the page has no script, and its content security policy forbids scripts and all styles but
its own, which is named by its digest. Links lead to rows on the page itself.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from string import Template

from annoy_store.report.example_rows import ExampleRow
from annoy_store.report.figure import Cell, Ref, RenderedFigure
from annoy_store.report.svg import element, escape, format_number

Link = Callable[[Ref], str | None]
"""From a row to the address of its text; None if it has none."""
Tile = tuple[str, str]
"""Name and value of a number above the figures."""


def render_page(
    store: str,
    at: str,
    tiles: Sequence[Tile],
    figures: Sequence[RenderedFigure],
    shown: Sequence[ExampleRow],
) -> str:
    """Return the report as one self-contained HTML page.

    Args:
        store: URL of the store.
        at: Time of the data, as text.
        tiles: Numbers above the figures.
        figures: The figures.
        shown: Rows whose text is on the page.
    """
    known = {example.ref for example in shown}
    link: Link = lambda ref: f"#{anchor(ref)}" if ref in known else None  # noqa: E731
    style = style_sheet()
    return Template(_file("report.html")).substitute(
        hash=f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
        style=style,
        title="Annoy Store report",
        lead=f"{escape(store)}, as of {escape(at)}",
        tiles=render_tiles(tiles),
        contents=render_contents(figures),
        figures="\n".join(render_section(one, link) for one in figures),
        examples="\n".join(_example(example) for example in shown),
        footer="Show a row with its whole lineage: annoy show KIND:ID",
    )


def render_contents(figures: Sequence[RenderedFigure]) -> str:
    """Return links to all figures of a page."""
    return " ".join(element("a", escape(one.title), href=f"#{one.key}") for one in figures)


def render_tiles(tiles: Sequence[Tile]) -> str:
    """Return the numbers above the figures as HTML."""
    inside = [
        element("div", element("dt", escape(name)), element("dd", escape(value)))
        for name, value in tiles
    ]
    return element("dl", *inside, cls="tiles")


def render_section(one: RenderedFigure, link: Link) -> str:
    """Return one figure as HTML, with its title, description and data.

    Args:
        one: The figure.
        link: Gives the addresses of rows.
    """
    empty = element("p", escape(one.empty_message), cls="nothing")
    body = element("div", one.svg, cls="plot") if one.svg else empty
    about = element("h2", escape(one.title)), element("p", escape(one.description), cls="meaning")
    data = render_table(one.columns, one.rows, link) if one.rows else ""
    if data:
        summary = element("summary", f"Show data ({_row_count(len(one.rows))})")
        data = element("details", summary, element("div", data, cls="scroll"))
    return element("section", *about, body, data, cls="drawn", id=one.key)


def _row_count(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def render_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], link: Link) -> str:
    """Return rows as an HTML table; a column is aligned as numbers if it has nothing else.

    Args:
        columns: Names of the columns.
        rows: The cells.
        link: Gives the addresses of rows.
    """
    numeric = [_is_numeric([row[i] for row in rows]) for i in range(len(columns))]
    cls = ["number" if n else "" for n in numeric]
    head = (element("th", escape(name), cls=c) for name, c in zip(columns, cls, strict=True))
    body = (
        element("tr", *(_cell(value, c, link) for value, c in zip(row, cls, strict=True)))
        for row in rows
    )
    return element("table", element("thead", element("tr", *head)), element("tbody", *body))


def _is_numeric(values: Sequence[Cell]) -> bool:
    filled = [v for v in values if v is not None]
    return bool(filled) and all(
        isinstance(v, int | float)
        or (isinstance(v, str) and v.rstrip("%").replace(".", "").isdigit())
        for v in filled
    )


def _cell(value: Cell, cls: str, link: Link) -> str:
    if isinstance(value, Ref):
        href = link(value)
        shown = element("a", escape(value), href=href) if href else escape(value)
        return element("td", shown, cls="key")
    if value is None:
        return "<td></td>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return element("td", escape(format_number(value)), cls=cls)
    return element("td", escape(value), cls=cls) if value else "<td></td>"


def anchor(ref: Ref) -> str:
    """Return the id of a row's text on the page."""
    return f"{ref.kind}-{ref.id}"


def _example(example: ExampleRow) -> str:
    heading = element("h2", escape(example.ref))
    about = element("p", escape(example.about), cls="meaning") if example.about else ""
    return element(
        "section",
        heading,
        about,
        element("pre", escape(example.text)),
        cls="example",
        id=anchor(example.ref),
    )


@cache
def style_sheet() -> str:
    """Return the style sheet of the report, which the web pages use too."""
    return _file("report.css")


def _file(name: str) -> str:
    return resources.files("annoy_store.report").joinpath(name).read_text(encoding="utf-8")
