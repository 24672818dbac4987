"""The report: a store's figures, each a small drawing with its table, on one page or as pictures.

Decisions
- A figure is a pure function from rows to SVG text. There is no plotting library: bars, heat maps
  and lines are a few lines each, scale with the page, and take their colours from its style sheet,
  which knows light and dark.
- Rows come from the columnar snapshot, or from the store itself if asked: one SQL text for both.
- All text of the store passes `svg.escape` on its way into a page, and the page forbids scripts.
"""

from __future__ import annotations

from annoy_store.report.figure import Figure, Ref, RenderedFigure
from annoy_store.report.figures import FIGURES, draw_all
from annoy_store.report.png import write_pictures
from annoy_store.report.report import Gathered, gather, report

__all__ = [
    "FIGURES",
    "Figure",
    "Gathered",
    "Ref",
    "RenderedFigure",
    "draw_all",
    "gather",
    "report",
    "write_pictures",
]
