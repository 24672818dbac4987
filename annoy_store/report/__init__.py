"""The report: figures of a store, each with its data as a table, as an HTML page or PNG files.

Decisions
- A figure is a pure function from rows to SVG text. There is no plotting library: bars, heat maps
  and lines are a few lines of code each, scale with the page, and take their colours from its style
  sheet, which has a light and a dark theme.
- Rows come from the columnar snapshot, or on request from the store itself: one SQL text for both.
- All text of the store is escaped by `svg.escape`, and the page allows no script but its own.
"""

from __future__ import annotations

from annoy_store.report.figure import Figure, Ref, RenderedFigure
from annoy_store.report.figures import FIGURES, render_all
from annoy_store.report.png import write_png_files
from annoy_store.report.report import ReportData, collect, report

__all__ = [
    "FIGURES",
    "Figure",
    "Ref",
    "RenderedFigure",
    "ReportData",
    "collect",
    "render_all",
    "report",
    "write_png_files",
]
