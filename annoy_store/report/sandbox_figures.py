"""Figures of the sandbox: packages that samples miss, and samples that keep it busy."""

from __future__ import annotations

from annoy_store.analysis.hints import package
from annoy_store.report.charts import Bar, horizontal_bars
from annoy_store.report.figure import Figure, Ref, RenderedFigure, Rows

# Missing modules -----------------------------------------------------------------------------

_MISSING = """
    SELECT missing_module, samples FROM v_missing_modules
    ORDER BY samples DESC, missing_module LIMIT 15
"""


def _draw_missing(rows: Rows) -> RenderedFigure:
    title = "Missing modules"
    shown = [Bar(module, (("b", float(n)),)) for module, n in rows]
    return RenderedFigure(
        "missing",
        title,
        "Packages that samples import and the interpreter of the sandbox lacks. "
        "Installing the first brings back the most: then annoy retry generate --state rejected "
        "--like missing_module.",
        horizontal_bars(title, "samples", shown) if shown else "",
        ("module", "samples", "to install"),
        [(module, n, f"pip install {package(module)}") for module, n in rows],
        "No sample misses a module.",
    )


MISSING = Figure("missing", lambda ask: ask(_MISSING), _draw_missing)

# Slow samples --------------------------------------------------------------------------------

_SLOWEST = """
    SELECT t.sample_id, t.cpu_ms, t.wall_ms, t.runs, MIN(o.repo), MIN(o.path)
    FROM (SELECT sample_id, SUM(cpu_ms) AS cpu_ms, SUM(wall_ms) AS wall_ms, COUNT(*) AS runs
          FROM executions WHERE sample_id IS NOT NULL GROUP BY sample_id
          ORDER BY SUM(wall_ms) DESC, sample_id LIMIT 12) t
    LEFT JOIN sample_origins s ON s.sample_id = t.sample_id
    LEFT JOIN origins o ON o.source_id = s.source_id
    GROUP BY t.sample_id, t.cpu_ms, t.wall_ms, t.runs ORDER BY t.wall_ms DESC, t.sample_id
"""


def _file_name(path: str | None) -> str:
    """The end of a path, which tells files apart where there is little room."""
    return (path or "").rstrip("/").rpartition("/")[2] or "sample"


def _draw_slowest(rows: Rows) -> RenderedFigure:
    title = "Slowest samples"
    shown = [
        Bar(
            f"{_file_name(path)} #{sample}",
            (("c", wall / 1000),),
            f"{wall / 1000:,.2f} s",
            f"sample:{sample}: {wall / 1000:,.2f} s, of it {cpu / 1000:,.2f} s CPU, in {runs} runs",
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
        "The samples that kept the sandbox busy the longest while their pairs "
        "were made and checked.",
        horizontal_bars(title, "seconds in the sandbox", shown) if shown else "",
        ("sample", "seconds", "CPU seconds", "runs", "repository", "path"),
        table,
        "No sample was run yet.",
    )


SLOWEST = Figure("slowest", lambda ask: ask(_SLOWEST), _draw_slowest)
