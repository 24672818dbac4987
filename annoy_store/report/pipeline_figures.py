"""Figures of the pipeline: jobs by stage, yields over time, rejection reasons."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from annoy_store.analysis.lineage_edges import SUBJECT_KINDS
from annoy_store.db.states import ENDED_STATES, STAGE_NAMES, sql_list
from annoy_store.report.charts import Bar, Dot, Panel, horizontal_bars, panels
from annoy_store.report.figure import Cell, Figure, Ref, RenderedFigure, Rows, RunSql
from annoy_store.report.svg import format_percent

STATES = (("done", "a"), ("rejected", "b"), ("failed", "d"), ("open", "e"))
MAX_BUCKETS = 48
PREFIXES = (19, 18, 16, 15, 13, 10, 7)  # characters of a time: second, .. hour, day, month
_SECONDS = (1, 10, 60, 600, 3600, 86_400, 2_678_400)
_ENDED = f"IN {sql_list(ENDED_STATES)}"


# The funnel ----------------------------------------------------------------------------------


def _render_funnel(rows: Rows) -> RenderedFigure:
    by: dict[str, dict[str, int]] = {}
    for stage, state, n in rows:
        of = by.setdefault(stage, {})
        name = state if state in ENDED_STATES else "open"
        of[name] = of.get(name, 0) + int(n)
    stages = [s for s in STAGE_NAMES if s in by] + sorted(set(by) - set(STAGE_NAMES))
    table: list[tuple[Cell, ...]] = [
        (s, *(by[s].get(name, 0) for name, _ in STATES), _yield(by[s])) for s in stages
    ]
    shown = [_funnel_bar(stage, by[stage]) for stage in stages]
    title = "Jobs by stage"
    svg = (
        horizontal_bars(title, "jobs", shown, [(cls, name) for name, cls in STATES])
        if shown
        else ""
    )
    return RenderedFigure(
        "funnel",
        title,
        "The jobs of each stage by state. The percentage is its yield: the share of done jobs "
        "among the ended ones.",
        svg,
        ("stage", *(name for name, _ in STATES), "yield"),
        table,
        "There are no jobs yet: annoy ingest PATH, then annoy run.",
    )


def _yield(of: dict[str, int]) -> str:
    ended = sum(of.get(state, 0) for state in ("done", "rejected", "failed"))
    return format_percent(of.get("done", 0) / ended) if ended else ""


def _funnel_bar(stage: str, of: dict[str, int]) -> Bar:
    parts = tuple((cls, float(of.get(name, 0))) for name, cls in STATES if of.get(name))
    counts = ", ".join(f"{of[name]:,} {name}" for name, _ in STATES if of.get(name))
    shown = f"{of.get('done', 0):,}" + (f"  ({_yield(of)})" if _yield(of) else "")
    return Bar(stage, parts, shown, f"{stage}: {counts}")


FUNNEL = Figure(
    "funnel", lambda run_sql: run_sql("SELECT stage, state, jobs FROM v_funnel"), _render_funnel
)

# Yields over time ----------------------------------------------------------------------------

LINES = {
    "complete": "attempts answered",
    "parse": "answers parsed",
    "generate": "samples with pairs",
    "turn 1": "first answers correct",
    "turn 2": "second answers correct",
}


def _fetch_yield(run_sql: RunSql) -> tuple[int, Rows]:
    ((first, last),) = run_sql("SELECT MIN(started_at), MAX(started_at) FROM attempts")
    width = _prefix(first, last)
    return width, run_sql(_yield_sql(width)) if first else []


def _prefix(first: str | None, last: str | None) -> int:
    """Return how many characters of a time give at most `MAX_BUCKETS` buckets.

    Args:
        first: The first time, in ISO format; None without data.
        last: The last time.
    """
    if not first or not last:
        return PREFIXES[0]
    span = datetime.fromisoformat(last[:19]) - datetime.fromisoformat(first[:19])
    fits = (
        p
        for p, s in zip(PREFIXES, _SECONDS, strict=True)
        if span.total_seconds() / s <= MAX_BUCKETS
    )
    return next(fits, PREFIXES[-1])


def _yield_sql(width: int) -> str:
    ended = f"""FROM jobs j {{}} WHERE j.stage = '{{}}' AND j.state {_ENDED}
        GROUP BY SUBSTR(r.created_at, 1, {width})"""
    answers = "JOIN responses r ON r.id = j.subject_id"
    made = """JOIN (SELECT sample_id, MIN(response_id) AS response_id FROM sample_origins
        GROUP BY sample_id) o ON o.sample_id = j.subject_id
        JOIN responses r ON r.id = o.response_id"""
    head = f"SUBSTR(r.created_at, 1, {width}), COUNT(*), SUM(CASE WHEN"
    return f"""
        SELECT 'complete' AS line, SUBSTR(started_at, 1, {width}) AS at, COUNT(*) AS n,
               SUM(CASE WHEN status = 'ok' THEN 1 ELSE 0 END) AS good
        FROM attempts GROUP BY SUBSTR(started_at, 1, {width})
        UNION ALL SELECT 'parse', {head} j.state = 'done' THEN 1 ELSE 0 END)
        {ended.format(answers, "parse")}
        UNION ALL SELECT 'generate', {head} j.state = 'done' THEN 1 ELSE 0 END)
        {ended.format(made, "generate")}
        UNION ALL SELECT CASE a.number WHEN 1 THEN 'turn 1' ELSE 'turn 2' END, {head}
               a.status = 'correct' THEN 1 ELSE 0 END)
        FROM (SELECT DISTINCT number, response_id, status FROM v_answers
              WHERE status IS NOT NULL AND number <= 2) a
        JOIN responses r ON r.id = a.response_id
        GROUP BY a.number, SUBSTR(r.created_at, 1, {width})
    """


def _render_yield(data: tuple[int, Rows]) -> RenderedFigure:
    width, found = data
    rows = sorted((LINES.get(name, name), at, int(n), int(good)) for name, at, n, good in found)
    times = sorted({at for _, at, _, _ in rows})
    of = {(name, at): (n, good) for name, at, n, good in rows}
    shown = [
        _yield_panel(name, times, of) for name in LINES.values() if any(k[0] == name for k in of)
    ]
    title = "Yield over time"
    axis = f"time (UTC), {_between(times, width)}"
    return RenderedFigure(
        "yield",
        title,
        "The share of successful rows, by the time of the model's answer.",
        panels(title, axis, shown) if shown else "",
        ("what", "time", "rows", "good", "share"),
        [(name, at, n, good, format_percent(good / n)) for name, at, n, good in rows],
        "There are no model calls yet: annoy run.",
    )


def _yield_panel(name: str, times: list[str], of: dict[Any, tuple[int, int]]) -> Panel:
    found = [of.get((name, at)) for at in times]
    dots = [Dot(f[1] / f[0], f[0]) if f else None for f in found]
    n, good = (sum(f[i] for f in found if f) for i in (0, 1))
    labels = [_clock(at) for at in times]
    return Panel(name, labels, dots=dots, note=f"{format_percent(good / n)} of {n:,}", cls="a")


def _clock(at: str) -> str:
    """Return the part of a cut time that an axis shows."""
    if len(at) <= 7:
        return at
    return at[5:] if len(at) == 10 else _padded(at)[11:]


def _between(times: list[str], width: int) -> str:
    if not times:
        return ""
    ends = [t if width <= 10 else _padded(t) for t in (times[0], times[-1])]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _padded(at: str) -> str:
    """Complete a cut time: 14:2 means 14:20, and 14 means 14:00."""
    at = at.replace("T", " ")
    return at + {13: ":00", 15: "0", 18: "0"}.get(len(at), "")


YIELD = Figure("yield", _fetch_yield, _render_yield)

# Failures ------------------------------------------------------------------------------------

_FAILURES = """
    SELECT stage, state, reason, jobs, example_subject_id, example_detail FROM v_failures
    ORDER BY jobs DESC, stage, reason LIMIT 16
"""


def _render_failures(rows: Rows) -> RenderedFigure:
    title = "Rejection reasons"
    shown = [
        Bar(
            f"{stage}: {reason or state}",
            (("b" if state == "rejected" else "d", float(n)),),
            f"{n:,}",
            f"{stage} {state}, {reason}: {n:,}",
        )
        for stage, state, reason, n, _, _ in rows
    ]
    table = [
        (stage, state, reason, n, Ref(SUBJECT_KINDS.get(stage, "source"), int(example)), detail)
        for stage, state, reason, n, example, detail in rows
    ]
    key = [("b", "rejected: by the row's content"), ("d", "failed: annoy retry repeats it")]
    return RenderedFigure(
        "failures",
        title,
        "The most frequent reasons, with an example of each in the table.",
        horizontal_bars(title, "jobs", shown, key) if shown else "",
        ("stage", "state", "reason", "jobs", "example", "detail of an example"),
        table,
        "No job was rejected or failed.",
    )


FAILURES = Figure("failures", lambda run_sql: run_sql(_FAILURES), _render_failures)
