"""The rows that a report links to, with their text, so that the page is self-contained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.analysis.lineage import Lineage, Node, lineage
from annoy_store.db.engine import Database
from annoy_store.db.states import FAILED_STATES
from annoy_store.errors import UsageError
from annoy_store.report.figure import Cell, Ref, RenderedFigure

MAX_EXAMPLES = 48
MAX_CHARS = 4_000
MAX_REASON_WORDS = 3
TEXTS = {
    "source": ("content",),
    "response": ("text",),
    "sample": ("refcode", "input_generator"),
    "io_pair": ("input", "output"),
    "verdict": ("feedback",),
    "prompt": ("messages",),
}
TEXT_FROM_ANCESTOR = {"call": "prompt"}  # kinds without a text of their own


@dataclass(frozen=True)
class ExampleRow:
    """A row on the page.

    Attributes:
        ref: The row.
        about: One line on its origin, and why it is an example.
        text: Its text, at most `MAX_CHARS` characters.
    """

    ref: Ref
    about: str
    text: str


def example_rows(store: Database, figures: Iterable[RenderedFigure]) -> list[ExampleRow]:
    """Return the rows that the tables of some figures link to, at most `MAX_EXAMPLES`.

    Args:
        store: The store.
        figures: The figures.

    Returns:
        Each row once, in the order of the tables. The text of rows that are taken down is empty.
    """
    reasons: dict[Ref, str] = {}
    for one in figures:
        for row in one.rows:
            for cell in row:
                if isinstance(cell, Ref):
                    reasons.setdefault(cell, _reason(one, row))
    chosen = list(reasons.items())[:MAX_EXAMPLES]
    return [example for ref, reason in chosen for example in _example(store, ref, reason)]


def _reason(one: RenderedFigure, row: Sequence[Cell]) -> str:
    """Return what the table says about a row: its title and the first texts."""
    words = [cell for cell in row if isinstance(cell, str) and cell][:MAX_REASON_WORDS]
    return f"{one.title}: {', '.join(words)}" if words else one.title


def _example(store: Database, ref: Ref, reason: str) -> Sequence[ExampleRow]:
    """Return the row, or nothing if it no longer exists."""
    with store.read() as connection:
        try:
            found = lineage(connection, str(ref), max_children=0)
        except UsageError:
            return []
        if found.taken_down:
            return [ExampleRow(ref, "taken down", "")]
    return [ExampleRow(ref, _about(found, reason), _text(_text_node(found)))]


def _text_node(found: Lineage) -> Node:
    kind = TEXT_FROM_ANCESTOR.get(found.subject.kind)
    return next((node for node in found.above if node.kind == kind), found.subject)


def _text(node: Node) -> str:
    parts = [str(node.row[name]) for name in TEXTS.get(node.kind, ()) if node.row[name]]
    text = "\n\n".join(parts)
    omitted = len(text) - MAX_CHARS
    return text if omitted <= 0 else f"{text[:MAX_CHARS]}\n.. and {omitted:,} more characters"


def _about(found: Lineage, reason: str) -> str:
    """Return one line on a row's origin, and why it was rejected or else the reason given."""
    origin: Mapping[str, Any] = next((n.row for n in found.above if n.kind == "origin"), {})
    place = [str(origin[name]) for name in ("repo", "path", "licence") if origin.get(name)]
    jobs = [
        f"{job['stage']} {job['state']}"
        + (f": {job['reason']}" if job["reason"] else "")
        + (f" ({job['detail']})" if job["detail"] else "")
        for job in found.subject.jobs
        if job["state"] in FAILED_STATES
    ]
    return "; ".join([*(jobs or [reason]), *place])
