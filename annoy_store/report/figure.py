"""What figures are made of: a question to the store, and what was drawn of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from annoy_store.analysis.snapshot.query import ask, opened
from annoy_store.analysis.sql import Found, run_query
from annoy_store.db.engine import Database

Rows = list[tuple[Any, ...]]
Ask = Callable[[str], Rows]


@dataclass(frozen=True)
class Ref:
    """A row of the store that a reader may want to look at."""

    kind: str
    id: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


Cell = str | int | float | None | Ref


@dataclass(frozen=True)
class RenderedFigure:
    """A figure as it is shown: SVG ('' when there is nothing to draw) and the table behind it."""

    key: str
    title: str
    meaning: str
    svg: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    nothing: str = "There is nothing to show yet."


@dataclass(frozen=True)
class Figure:
    """One figure: what it asks, and how the answer is drawn."""

    key: str
    ask: Callable[[Ask], Any]
    draw: Callable[[Any], RenderedFigure]


@contextmanager
def asker(store: Database, *, live: bool = False) -> Iterator[Ask]:
    """Give a function that answers SQL: from the snapshot, brought up to date, or from the store.

    Raises UsageError when no snapshot can be kept where it belongs.
    """
    if live:
        yield lambda sql: _rows(run_query(store, sql))
        return
    with opened(store) as duck:
        yield lambda sql: _rows(ask(duck, sql))


def _rows(asked: AbstractContextManager[Found]) -> Rows:
    with asked as found:
        return list(found.rows)


def sums(rows: Rows, key: int, value: int) -> dict[Any, int]:
    """Add up one column by another, in the order in which the keys come."""
    out: dict[Any, int] = {}
    for row in rows:
        out[row[key]] = out.get(row[key], 0) + int(row[value] or 0)
    return out


def bucketed(column: str, edges: Sequence[int]) -> str:
    """SQL that says in which of the ranges between `edges` a number lies: 0, 1, .."""
    cases = " ".join(f"WHEN {column} < {edge} THEN {i}" for i, edge in enumerate(edges))
    return f"CASE {cases} ELSE {len(edges)} END"


def ranges(edges: Sequence[int], name: Callable[[int], str] = str) -> list[str]:
    """The names of the ranges between `edges`, from below the first to above the last."""
    inner = [f"{name(lo)}\u2013{name(hi)}" for lo, hi in pairwise(edges)]
    return [f"< {name(edges[0])}", *inner, f"\u2265 {name(edges[-1])}"]


KINDS: Mapping[str, str] = {
    "transform": "rewrite a file",
    "predict_output": "predict the output",
    "predict_input": "predict an input",
}
