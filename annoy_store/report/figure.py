"""The parts of a figure: its query, its rendering as SVG, and its data as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any

from annoy_store.analysis.snapshot.query import execute, open_snapshot
from annoy_store.analysis.sql import QueryResult, run_query
from annoy_store.analysis.task_titles import TRANSFORM, task_titles
from annoy_store.db.engine import Database

_TASK_CLASSES = ("a", "c", "b", "d")  # colour classes of the style sheet
Rows = list[tuple[Any, ...]]
RunSql = Callable[[str], Rows]
"""Runs one SQL statement and returns its rows."""


@dataclass(frozen=True)
class Ref:
    """A link to a row of the store."""

    kind: str
    id: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


Cell = str | int | float | None | Ref


@dataclass(frozen=True)
class RenderedFigure:
    """A figure with its data.

    Attributes:
        key: Short name, used in addresses and file names.
        title: Its title.
        description: What it shows.
        svg: The drawing; '' without data.
        columns: Names of the columns of the table.
        rows: The data as a table.
        empty_message: Text in place of the drawing when there is no data.
    """

    key: str
    title: str
    description: str
    svg: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    empty_message: str = "There is no data yet."


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        key: Short name, used in addresses and file names.
        fetch: Reads its data.
        render: Draws the data.
    """

    key: str
    fetch: Callable[[RunSql], Any]
    render: Callable[[Any], RenderedFigure]


@contextmanager
def open_runner(store: Database, *, live: bool = False) -> Iterator[RunSql]:
    """Open a function that runs SQL on the snapshot, refreshed once, or on the store.

    Args:
        store: The store.
        live: Query the store itself.

    Raises:
        UsageError: No snapshot can be kept in its folder.
    """
    if live:
        yield lambda sql: _rows(run_query(store, sql))
        return
    with open_snapshot(store) as duck:
        yield lambda sql: _rows(execute(duck, sql))


def _rows(query: AbstractContextManager[QueryResult]) -> Rows:
    with query as result:
        return list(result.rows)


def sum_by(rows: Rows, key: int, value: int) -> dict[Any, int]:
    """Sum one column by the values of another.

    Args:
        rows: The rows.
        key: Index of the column to group by.
        value: Index of the column to sum.

    Returns:
        Sums by key, in the order of the keys' first rows.
    """
    out: dict[Any, int] = {}
    for row in rows:
        out[row[key]] = out.get(row[key], 0) + int(row[value] or 0)
    return out


def bucket_sql(column: str, edges: Sequence[int]) -> str:
    """Return SQL for the index of the range that a number is in.

    Args:
        column: SQL of the number.
        edges: Rising limits between ranges; range 0 is below the first.
    """
    cases = " ".join(f"WHEN {column} < {edge} THEN {i}" for i, edge in enumerate(edges))
    return f"CASE {cases} ELSE {len(edges)} END"


def range_labels(edges: Sequence[int], name: Callable[[int], str] = str) -> list[str]:
    """Return the names of the ranges between `edges`, from below the first to above the last.

    Args:
        edges: Rising limits between ranges.
        name: Formats a limit.
    """
    inner = [f"{name(lo)}\u2013{name(hi)}" for lo, hi in pairwise(edges)]
    return [f"< {name(edges[0])}", *inner, f"\u2265 {name(edges[-1])}"]


def task_colours() -> dict[str, str]:
    """Return the colour class of each kind of turn."""
    classes = zip(task_titles(), cycle(_TASK_CLASSES), strict=False)
    return {TRANSFORM: "e", **dict(classes)}
