"""The report as one HTML page: figures, their data, and the rows that they link to.

Decisions
- The content security policy forbids every style and script but the page's own, which are named by
  their digests, so text of the store cannot become a script. The script only adds the buttons that
  copy SQL; without it the SQL is there to select.
- Each figure is drawn twice, for a wide and for a narrow window; the style sheet shows one.
- Links lead to rows on the page itself. These are folded: a browser opens the one that a link leads
  to, since its anchor is inside.
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
from annoy_store.report.svg import element, escape, format_number, truncate

Link = Callable[[Ref], str | None]
"""From a row to the address of its text; None if it has none."""
Tile = tuple[str, str]
"""Name and value of a number above the figures."""
EXAMPLES = ("examples", "Examples")  # anchor and title
MAX_ABOUT_CHARS = 90


def render_page(
    name: str,
    store: str,
    at: str,
    tiles: Sequence[Tile],
    figures: Sequence[RenderedFigure],
    shown: Sequence[ExampleRow],
) -> str:
    """Return the report as one self-contained HTML page.

    Args:
        name: Name of the store.
        store: URL of the store.
        at: Time of the data, as text.
        tiles: Numbers above the figures.
        figures: The figures.
        shown: Rows whose text is on the page.
    """
    known = {example.ref for example in shown}
    link: Link = lambda ref: f"#{anchor(ref)}" if ref in known else None  # noqa: E731
    style, script = style_sheet(), _file("report.js")
    return Template(_file("report.html")).substitute(
        style_hash=_digest(style),
        script_hash=_digest(script),
        style=style,
        script=script,
        name=escape(name),
        lead=f"{escape(store)}, as of {escape(at)}",
        tiles=render_tiles(tiles),
        contents=render_contents(figures, shown),
        figures="\n".join(render_section(one, link) for one in figures),
        examples=_examples(shown),
    )


def _digest(text: str) -> str:
    """Return the digest of a style or script, as a content security policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def render_contents(figures: Sequence[RenderedFigure], shown: Sequence[ExampleRow]) -> str:
    """Return links to all figures of a page, and to its examples."""
    links = [(one.key, one.title) for one in figures] + ([EXAMPLES] if shown else [])
    return " ".join(element("a", escape(title), href=f"#{key}") for key, title in links)


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
    heading = element("h2", escape(one.title), id=f"{one.key}-title")
    meaning = element("p", escape(one.description), cls="meaning")
    folds = _fold(f"Show data ({_row_count(len(one.rows))})", _data(one, link)) if one.rows else ""
    if one.sql:
        folds += _fold("Show SQL", element("pre", escape(one.sql), cls="query", tabindex=0))
    return element(
        "section",
        heading,
        meaning,
        _plot(one),
        folds,
        cls="drawn",
        id=one.key,
        aria_labelledby=f"{one.key}-title",
    )


def _plot(one: RenderedFigure) -> str:
    if not one.plot:
        return element("p", escape(one.empty_message), cls="nothing")
    return element("div", one.svg, cls="plot") + element("div", one.narrow_svg, cls="plot narrow")


def _data(one: RenderedFigure, link: Link) -> str:
    table = render_table(one.columns, one.rows, link)
    label = f"data of {one.title}"
    return element("div", table, cls="scroll", tabindex=0, role="region", aria_label=label)


def _fold(summary: str, inside: str) -> str:
    return element("details", element("summary", escape(summary)), inside)


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


def _examples(shown: Sequence[ExampleRow]) -> str:
    """Return the rows that the figures link to, folded under a heading."""
    if not shown:
        return ""
    key, title = EXAMPLES
    about = "Rows that the figures link to. The whole lineage of a row: annoy show KIND:ID"
    inside = element("h2", title, id=f"{key}-title"), element("p", about, cls="meaning")
    rows = (_example(example) for example in shown)
    return element("section", *inside, *rows, cls="drawn", id=key, aria_labelledby=f"{key}-title")


def _example(example: ExampleRow) -> str:
    about = element("span", escape(truncate(example.about, MAX_ABOUT_CHARS)), cls="meaning")
    heading = element("h3", escape(example.ref))
    whole = element("p", escape(example.about), cls="meaning") if example.about else ""
    text = element("pre", escape(example.text), tabindex=0)
    return element(
        "details",
        element("summary", heading, about),
        element("div", whole, text, id=anchor(example.ref)),
        cls="example",
    )


@cache
def style_sheet() -> str:
    """Return the style sheet of the report, which the web pages use too."""
    return _file("report.css")


def _file(name: str) -> str:
    return resources.files("annoy_store.report").joinpath(name).read_text(encoding="utf-8")
