"""The page: figures, the tables behind them and the rows they point at, in one file of HTML.

Decision: the page holds no script and forbids every one, and all styles but its own, by the
digest of its style sheet. Links lead to rows on the page itself.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from string import Template

from annoy_store.report.example_rows import Example
from annoy_store.report.figure import Cell, Ref, RenderedFigure
from annoy_store.report.svg import element, escape, whole

Link = Callable[[Ref], str | None]
Tile = tuple[str, str]


def page(
    store: str,
    at: str,
    tiles: Sequence[Tile],
    drawn: Sequence[RenderedFigure],
    shown: Sequence[Example],
) -> str:
    """Return the whole report on a store as one self-contained page."""
    known = {example.ref for example in shown}
    link: Link = lambda ref: f"#{anchor(ref)}" if ref in known else None  # noqa: E731
    style = style_sheet()
    return Template(_file("report.html")).substitute(
        hash=f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
        style=style,
        title="Annoy Store report",
        lead=f"{escape(store)}, as it was on {escape(at)}",
        tiles=tiles_of(tiles),
        contents=contents(drawn),
        figures="\n".join(section(one, link) for one in drawn),
        examples="\n".join(_example(example) for example in shown),
        footer="A row in full, with what it came from and what came of it: annoy show KIND:ID",
    )


def contents(drawn: Sequence[RenderedFigure]) -> str:
    return " ".join(element("a", escape(one.title), href=f"#{one.key}") for one in drawn)


def tiles_of(tiles: Sequence[Tile]) -> str:
    """Return the numbers that stand above all figures."""
    inside = [
        element("div", element("dt", escape(name)), element("dd", escape(value)))
        for name, value in tiles
    ]
    return element("dl", *inside, cls="tiles")


def section(one: RenderedFigure, link: Link) -> str:
    """Return one figure with its title, its meaning and the table behind it."""
    nothing = element("p", escape(one.nothing), cls="nothing")
    body = element("div", one.svg, cls="plot") if one.svg else nothing
    about = element("h2", escape(one.title)), element("p", escape(one.meaning), cls="meaning")
    behind = table(one.columns, one.rows, link) if one.rows else ""
    if behind:
        summary = element("summary", f"the table behind it ({_counted(len(one.rows))})")
        behind = element("details", summary, element("div", behind, cls="scroll"))
    return element("section", *about, body, behind, cls="drawn", id=one.key)


def _counted(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], link: Link) -> str:
    """Return rows as a table; a column is a column of numbers if it has nothing else."""
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
        return element("td", escape(whole(value)), cls=cls)
    return element("td", escape(value), cls=cls) if value else "<td></td>"


def anchor(ref: Ref) -> str:
    return f"{ref.kind}-{ref.id}"


def _example(example: Example) -> str:
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
    """The style of the report, which the pages of `annoy view` use too."""
    return _file("report.css")


def _file(name: str) -> str:
    return files("annoy_store.report").joinpath(name).read_text(encoding="utf-8")
