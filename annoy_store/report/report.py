"""The report of a store: all figures, key numbers, and the rows that they link to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from annoy_store.db.engine import Database
from annoy_store.report.example_rows import ExampleRow, example_rows
from annoy_store.report.figure import RenderedFigure, RunSql, open_runner
from annoy_store.report.figures import render_all
from annoy_store.report.html_page import Tile, render_page
from annoy_store.report.svg import format_money, format_percent

_COUNTS = """
    SELECT (SELECT COUNT(*) FROM sources), (SELECT COUNT(*) FROM samples),
           (SELECT COUNT(*) FROM io_pairs), (SELECT COUNT(*) FROM responses)
"""
_QUESTIONS = """
    SELECT COUNT(*), SUM(correct) FROM (
        SELECT MAX(CASE WHEN status = 'correct' THEN 1 ELSE 0 END) AS correct
        FROM v_answers WHERE status IS NOT NULL GROUP BY chain_id) judged
"""
_MONEY = "SELECT SUM(cost_usd), COUNT(*) - COUNT(cost_usd) FROM v_cost"


@dataclass(frozen=True)
class ReportData:
    """The content of a report.

    Attributes:
        name: Name of the store.
        store: URL of the store.
        created_at: Time of the data (UTC), as text.
        tiles: Names and values of the key numbers.
        figures: The figures.
    """

    name: str
    store: str
    created_at: str
    tiles: Sequence[Tile]
    figures: Sequence[RenderedFigure]

    def as_page(self, shown: Sequence[ExampleRow]) -> str:
        """Return the report as one HTML page, with the text of some rows."""
        return render_page(self.name, self.store, self.created_at, self.tiles, self.figures, shown)


def collect(
    store: Database,
    at: str,
    *,
    live: bool = False,
    on_figure: Callable[[str], None] = lambda key: None,
) -> ReportData:
    """Query a store and render all figures.

    Args:
        store: The store.
        at: Time of the data, as text.
        live: Query the store itself instead of its snapshot.
        on_figure: Called with the key of each figure before it is fetched.

    Raises:
        UsageError: No snapshot can be kept, and `live` is not set.
    """
    on_figure("the snapshot")
    with open_runner(store, live=live) as run_sql:
        return ReportData(
            store.name, str(store), at, _tiles(run_sql), render_all(run_sql, on_figure)
        )


def report(store: Database, data: ReportData) -> str:
    """Return a report as one HTML page, with the text of every row that it links to."""
    return data.as_page(example_rows(store, data.figures))


def _tiles(run_sql: RunSql) -> list[Tile]:
    ((sources, samples, pairs, answers),) = run_sql(_COUNTS)
    ((chains, correct),) = run_sql(_QUESTIONS)
    ((usd, unknown),) = run_sql(_MONEY)
    tiles = [
        ("sources", f"{sources:,}"),
        ("samples", f"{samples:,}"),
        ("I/O pairs", f"{pairs:,}"),
        ("answers", f"{answers:,}"),
        ("questions", f"{chains:,}"),
        ("solved", format_percent((correct or 0) / chains) if chains else "\u2013"),
    ]
    return [*tiles, ("spent", _money(usd, unknown))] if usd is not None else tiles


def _money(usd: float, unknown: int) -> str:
    return f"\u2265 {format_money(usd)}" if unknown else format_money(usd)
