"""A report drawn from a store: all figures, the numbers above them and the rows they point at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from annoy_store.db.engine import Database
from annoy_store.report.example_rows import Example, examples
from annoy_store.report.figure import Ask, RenderedFigure, asker
from annoy_store.report.figures import draw_all
from annoy_store.report.html_page import Tile, page
from annoy_store.report.svg import percent

_COUNTS = """
    SELECT (SELECT COUNT(*) FROM sources), (SELECT COUNT(*) FROM samples),
           (SELECT COUNT(*) FROM io_pairs), (SELECT COUNT(*) FROM responses)
"""
_QUESTIONS = """
    SELECT COUNT(*), SUM(correct) FROM (
        SELECT MAX(CASE WHEN status = 'correct' THEN 1 ELSE 0 END) AS correct
        FROM v_answers WHERE status IS NOT NULL GROUP BY chain_id, io_pair_id) judged
"""
_MONEY = "SELECT SUM(cost_usd), COUNT(*) - COUNT(cost_usd) FROM v_cost"


@dataclass(frozen=True)
class Gathered:
    """All that a report shows: of which store, when (UTC), its numbers and its figures."""

    store: str
    at: str
    tiles: Sequence[Tile]
    drawn: Sequence[RenderedFigure]

    def as_page(self, shown: Sequence[Example]) -> str:
        """The report as one file of HTML, with the rows `shown` on it."""
        return page(self.store, self.at, self.tiles, self.drawn, shown)


def gather(
    store: Database, at: str, *, live: bool = False, tell: Callable[[str], None] = lambda key: None
) -> Gathered:
    """Ask everything and draw it; `tell` hears which figure is next.

    Raises UsageError when no snapshot can be kept (unless `live`: then the store is asked).
    """
    tell("the snapshot")
    with asker(store, live=live) as ask:
        return Gathered(str(store), at, _tiles(ask), draw_all(ask, tell))


def report(store: Database, gathered: Gathered) -> str:
    """Return a report as one page, with the text of every row that it points at."""
    return gathered.as_page(examples(store, gathered.drawn))


def _tiles(ask: Ask) -> list[Tile]:
    ((sources, samples, pairs, answers),) = ask(_COUNTS)
    ((chains, right),) = ask(_QUESTIONS)
    ((usd, unknown),) = ask(_MONEY)
    tiles = [
        ("sources", f"{sources:,}"),
        ("samples", f"{samples:,}"),
        ("I/O pairs", f"{pairs:,}"),
        ("answers", f"{answers:,}"),
        ("questions", f"{chains:,}"),
        ("solved", percent((right or 0) / chains) if chains else "\u2013"),
    ]
    return [*tiles, ("spent", _money(usd, unknown))] if usd is not None else tiles


def _money(usd: float, unknown: int) -> str:
    told = f"${usd:,.0f}" if usd >= 100 else f"${usd:,.2f}"
    return f"\u2265 {told}" if unknown else told
