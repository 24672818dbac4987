"""The parts of a figure: its query, its rendering as SVG, and its data as a table.

Decision: a figure has one SQL statement, from whose rows both its drawing and its table are made.
It is on the page: who copies it gets the data of the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from inspect import cleandoc
from itertools import cycle, pairwise
from typing import Any

from annoy_store.analysis.snapshot.query import execute, open_snapshot
from annoy_store.analysis.sql import QueryResult, run_query
from annoy_store.analysis.task_titles import TRANSFORM, question_titles, task_titles
from annoy_store.db.engine import Database
from annoy_store.report.svg import NARROW, WIDTH
from annoy_store.report.time_buckets import bucket_width

_TASK_CLASSES = ("a", "c", "b", "d")  # colour classes of the style sheet
_MODEL_CLASSES = ("a", "b", "c", "f", "d")
MAX_MODELS = len(_MODEL_CLASSES)
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
        plot: Draws it as SVG at a width; None without data.
        columns: Names of the columns of the table.
        rows: The data as a table.
        empty_message: Text in place of the drawing when there is no data.
        sql: The statement that reads its data.
    """

    key: str
    title: str
    description: str
    plot: Callable[[float], str] | None
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    empty_message: str = "There is no data yet."
    sql: str = ""

    @property
    def svg(self) -> str:
        """The drawing; '' without data."""
        return self.plot(WIDTH) if self.plot else ""

    @property
    def narrow_svg(self) -> str:
        """The drawing for a phone; '' without data."""
        return self.plot(NARROW) if self.plot else ""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        key: Short name, used in addresses and file names.
        sql: Reads its data; `:width` stands for the characters of a time that make its buckets.
        render: Draws the rows.
        times: SQL of the first and the last time, if `sql` has buckets of time.
    """

    key: str
    sql: str
    render: Callable[[Rows], RenderedFigure]
    times: str = ""

    def query(self, run_sql: RunSql) -> str:
        """Return the SQL of its data, as a person would write it."""
        sql = cleandoc(self.sql)
        if not self.times:
            return sql
        ((first, last),) = run_sql(self.times)
        return sql.replace(":width", str(bucket_width(first, last)))

    def rendered(self, run_sql: RunSql) -> RenderedFigure:
        """Read its data and draw it."""
        sql = self.query(run_sql)
        return replace(self.render(run_sql(sql)), sql=sql)


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
        return [tuple(map(_plain_number, row)) for row in result.rows]


def _plain_number(value: Any) -> Any:
    """Return the exact numbers of a server's sums as the other databases return them."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)


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
    """Return SQL for the lower limit of the range that a number is in; 0 below the first.

    Args:
        column: SQL of the number.
        edges: Rising limits between ranges.
    """
    cases = " ".join(
        f"WHEN {column} < {edge} THEN {lower}" for lower, edge in pairwise((0, *edges))
    )
    return f"CASE {cases} ELSE {edges[-1]} END"


def range_names(edges: Sequence[int], name: Callable[[int], str] = str) -> dict[int, str]:
    """Return the names of the ranges between `edges` by their lower limits, in rising order.

    Args:
        edges: Rising limits between ranges.
        name: Formats a limit.
    """
    inner = {lo: f"{name(lo)}\u2013{name(hi)}" for lo, hi in pairwise(edges)}
    return {0: f"< {name(edges[0])}", **inner, edges[-1]: f"\u2265 {name(edges[-1])}"}


def spanned(names: dict[int, str], seen: Sequence[int]) -> list[int]:
    """Return the ranges from the first to the last that has data.

    Args:
        names: All ranges, as `range_names` returns them.
        seen: Lower limits of the ranges with data.
    """
    return [lo for lo in names if seen and min(seen) <= lo <= max(seen)]


def task_colours() -> dict[str, str]:
    """Return the colour class of each kind of turn."""
    classes = zip(task_titles(), cycle(_TASK_CLASSES), strict=False)
    return {TRANSFORM: "e", **dict(classes)}


def question_title(kind: str) -> str:
    """Return the title of a kind of turn; its name if the kind is unknown here."""
    return question_titles().get(kind, kind)


def model_colours(rows: Rows, model: int, weight: int) -> dict[str, str]:
    """Return the colour classes of the models with most weight, at most `MAX_MODELS`.

    Args:
        rows: The rows.
        model: Index of the column with the model.
        weight: Index of the column to sum by model.
    """
    by_weight = sorted(sum_by(rows, model, weight).items(), key=lambda item: (-item[1], item[0]))
    return {name: cls for (name, _), cls in zip(by_weight, _MODEL_CLASSES, strict=False)}


def plot(draw: Callable[..., str], *given: Any) -> Callable[[float], str]:
    """Return a drawing with its data, which only lacks the width."""
    return lambda width: draw(*given, width=width)
