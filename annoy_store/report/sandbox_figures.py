"""Figures of the sandbox: packages that samples lack, and the slowest samples."""

from __future__ import annotations

from annoy_store.analysis.hints import install_advice
from annoy_store.report.bar_chart import Bar, horizontal_bars, ungrouped
from annoy_store.report.figure import Figure, Ref, RenderedFigure, Rows, plot

# Missing modules -----------------------------------------------------------------------------

_MISSING = """
    SELECT missing_module, samples FROM v_missing_modules
    ORDER BY samples DESC, missing_module LIMIT 15
"""


def _render_missing(rows: Rows) -> RenderedFigure:
    title = "Missing modules"
    shown = [Bar(module, (("b", float(n)),)) for module, n in rows]
    return RenderedFigure(
        "missing",
        title,
        "Modules that samples import and the interpreter of the sandbox lacks. "
        "Install the packages named here, then run: annoy retry generate --state rejected --like missing_module.",
        plot(horizontal_bars, title, "samples", ungrouped(shown)) if shown else None,
        ("module", "samples", "advice"),
        [(module, n, install_advice(module)) for module, n in rows],
        "No sample lacks a module.",
    )


MISSING = Figure("missing", _MISSING, _render_missing)

# Slow samples --------------------------------------------------------------------------------

_SLOWEST = """
    SELECT t.sample_id, t.cpu_ms, t.wall_ms, t.runs, MIN(o.repo) AS repo, MIN(o.path) AS path
    FROM (SELECT sample_id, SUM(cpu_ms) AS cpu_ms, SUM(wall_ms) AS wall_ms, COUNT(*) AS runs
          FROM executions WHERE sample_id IS NOT NULL GROUP BY sample_id
          ORDER BY SUM(wall_ms) DESC, sample_id LIMIT 12) t
    LEFT JOIN sample_origins s ON s.sample_id = t.sample_id
    LEFT JOIN origins o ON o.source_id = s.source_id
    GROUP BY t.sample_id, t.cpu_ms, t.wall_ms, t.runs ORDER BY t.wall_ms DESC, t.sample_id
"""


def _file_name(path: str | None) -> str:
    """Return the last part of a path, for a short label."""
    return (path or "").rstrip("/").rpartition("/")[2] or "sample"


def _render_slowest(rows: Rows) -> RenderedFigure:
    title = "Slowest samples"
    shown = [
        Bar(
            f"{_file_name(path)} #{sample}",
            (("c", wall / 1000),),
            f"{wall / 1000:,.2f} s",
            f"sample:{sample}: {wall / 1000:,.2f} s ({cpu / 1000:,.2f} s CPU) in {runs} runs",
        )
        for sample, cpu, wall, runs, _, path in rows
    ]
    table = [
        (Ref("sample", int(sample)), round(wall / 1000, 3), round(cpu / 1000, 3), runs, repo, path)
        for sample, cpu, wall, runs, repo, path in rows
    ]
    return RenderedFigure(
        "slowest",
        title,
        "The samples that used the most sandbox time to generate and check their pairs.",
        plot(horizontal_bars, title, "seconds in the sandbox", ungrouped(shown)) if shown else None,
        ("sample", "seconds", "CPU seconds", "runs", "repository", "path"),
        table,
        "No sample has been executed yet.",
    )


SLOWEST = Figure("slowest", _SLOWEST, _render_slowest)
