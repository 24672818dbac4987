"""The rows that a report's tables point at, with their text, so that the file stands alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from annoy_store.analysis.lineage import Lineage, Node, lineage
from annoy_store.db.engine import Database
from annoy_store.db.tables import hidden_subjects
from annoy_store.errors import UsageError
from annoy_store.report.figure import Ref, RenderedFigure

MOST = 48
MOST_CHARS = 4_000
TEXTS = {
    "source": ("content",),
    "response": ("text",),
    "sample": ("refcode", "input_generator"),
    "io_pair": ("input", "output"),
    "verdict": ("feedback",),
    "prompt": ("messages",),
}
GIVES_TEXT = {"call": "prompt"}  # a row without a text of its own is told by what is above it


@dataclass(frozen=True)
class Example:
    """A row: what it is, in a line, and its text, cut if it is long."""

    ref: Ref
    about: str
    text: str


def examples(store: Database, drawn: Iterable[RenderedFigure]) -> list[Example]:
    """Return the rows that the tables of some figures point at, each once, in their order."""
    refs = dict.fromkeys(
        cell for one in drawn for row in one.rows for cell in row if isinstance(cell, Ref)
    )
    return [example for ref in list(refs)[:MOST] for example in _example(store, ref)]


def _example(store: Database, ref: Ref) -> Sequence[Example]:
    """The row, or nothing if it is gone; the text of what was taken down is withheld."""
    with store.read() as connection:
        try:
            found = lineage(connection, str(ref), most=0)
        except UsageError:
            return []
        if any(_is_hidden(connection, node) for node in (*found.above, found.subject)):
            return [Example(ref, "taken down", "")]
    return [Example(ref, _about(found), _text(_teller(found)))]


def _is_hidden(connection: Connection, node: Node) -> bool:
    chosen = select(hidden_subjects.c.kind).where(
        hidden_subjects.c.kind == node.kind, hidden_subjects.c.subject_id == node.id
    )
    return connection.execute(chosen).first() is not None


def _teller(found: Lineage) -> Node:
    kind = GIVES_TEXT.get(found.subject.kind)
    return next((node for node in found.above if node.kind == kind), found.subject)


def _text(node: Node) -> str:
    parts = [str(node.row[name]) for name in TEXTS.get(node.kind, ()) if node.row[name]]
    text = "\n\n".join(parts)
    left = len(text) - MOST_CHARS
    return text if left <= 0 else f"{text[:MOST_CHARS]}\n.. and {left:,} more characters"


def _about(found: Lineage) -> str:
    """Where it came from, and how the work on it ended."""
    origin: Mapping[str, Any] = next((n.row for n in found.above if n.kind == "origin"), {})
    place = [str(origin[name]) for name in ("repo", "path", "licence") if origin.get(name)]
    jobs = [
        f"{job['stage']} {job['state']}"
        + (f": {job['reason']}" if job["reason"] else "")
        + (f" ({job['detail']})" if job["detail"] else "")
        for job in found.subject.jobs
    ]
    return "; ".join([*place, *jobs])
