"""Figures of the pipeline: jobs by stage, yields over time, rejection reasons."""

from __future__ import annotations

from typing import Any

from annoy_store.analysis.lineage_edges import SUBJECT_KINDS
from annoy_store.db.states import ENDED_STATES, STAGE_NAMES, sql_list
from annoy_store.report.bar_chart import Bar, horizontal_bars, share_bars, ungrouped
from annoy_store.report.figure import Cell, Figure, Ref, RenderedFigure, Rows, plot
from annoy_store.report.panel_chart import Dot, Line, Panel, panels
from annoy_store.report.svg import format_percent
from annoy_store.report.time_buckets import clock, time_axis

STATES = (("done", "a"), ("rejected", "b"), ("failed", "d"), ("open", "e"))
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
    title = "Jobs by stage"
    groups = ungrouped([_funnel_bar(stage, by[stage]) for stage in stages])
    key = [(cls, name) for name, cls in STATES]
    return RenderedFigure(
        "funnel",
        title,
        "The jobs of each stage by state; each bar is 100 % of its stage. The percentage is the "
        "yield: the share of done jobs among the ended ones.",
        plot(share_bars, title, "share of the stage's jobs", groups, key) if stages else None,
        ("stage", *(name for name, _ in STATES), "yield"),
        table,
        "There are no jobs yet: annoy ingest PATH, then annoy run.",
    )


def _yield(of: dict[str, int]) -> str:
    ended = sum(of.get(state, 0) for state in ENDED_STATES)
    return format_percent(of.get("done", 0) / ended) if ended else ""


def _funnel_bar(stage: str, of: dict[str, int]) -> Bar:
    parts = tuple((cls, float(of.get(name, 0))) for name, cls in STATES if of.get(name))
    counts = ", ".join(f"{of[name]:,} {name}" for name, _ in STATES if of.get(name))
    shown = f"{of.get('done', 0):,} of {sum(of.values()):,}"
    return Bar(
        stage, parts, shown + (f" ({_yield(of)})" if _yield(of) else ""), f"{stage}: {counts}"
    )


FUNNEL = Figure("funnel", "SELECT stage, state, jobs FROM v_funnel", _render_funnel)

# Yields over time ----------------------------------------------------------------------------

LINES = {
    "complete": "attempts answered",
    "parse": "answers parsed",
    "generate": "samples with pairs",
}
_YIELD = f"""
    SELECT 'complete' AS step, SUBSTR(started_at, 1, :width) AS time, COUNT(*) AS n,
           SUM(CASE WHEN status = 'ok' THEN 1 ELSE 0 END) AS successful
    FROM attempts GROUP BY SUBSTR(started_at, 1, :width)
    UNION ALL
    SELECT 'parse', SUBSTR(r.created_at, 1, :width), COUNT(*),
           SUM(CASE WHEN j.state = 'done' THEN 1 ELSE 0 END)
    FROM jobs j JOIN responses r ON r.id = j.subject_id
    WHERE j.stage = 'parse' AND j.state {_ENDED} GROUP BY SUBSTR(r.created_at, 1, :width)
    UNION ALL
    SELECT 'generate', SUBSTR(r.created_at, 1, :width), COUNT(*),
           SUM(CASE WHEN j.state = 'done' THEN 1 ELSE 0 END)
    FROM jobs j
    JOIN (SELECT sample_id, MIN(response_id) AS response_id FROM sample_origins
          GROUP BY sample_id) o ON o.sample_id = j.subject_id
    JOIN responses r ON r.id = o.response_id
    WHERE j.stage = 'generate' AND j.state {_ENDED} GROUP BY SUBSTR(r.created_at, 1, :width)
    UNION ALL
    SELECT 'turn ' || CAST(a.number AS VARCHAR(9)), SUBSTR(r.created_at, 1, :width), COUNT(*),
           SUM(CASE WHEN a.status = 'correct' THEN 1 ELSE 0 END)
    FROM (SELECT DISTINCT number, response_id, status FROM v_answers
          WHERE status IS NOT NULL) a
    JOIN responses r ON r.id = a.response_id
    GROUP BY a.number, SUBSTR(r.created_at, 1, :width)
    ORDER BY 1, 2
"""


def _render_yield(found: Rows) -> RenderedFigure:
    rows = sorted((_place(step), step, at, int(n), int(good)) for step, at, n, good in found)
    steps = list(dict.fromkeys(step for _, step, *_ in rows))
    times = sorted({at for _, _, at, *_ in rows})
    of = {(step, at): (n, good) for _, step, at, n, good in rows}
    shown = [_yield_panel(step, times, of) for step in steps]
    title = "Yield over time"
    return RenderedFigure(
        "yield",
        title,
        "The share of successful rows, by the time of the model's answer.",
        plot(panels, title, time_axis(times), shown) if shown else None,
        ("step", "time", "rows", "successful", "share"),
        [(_name(step), at, n, good, format_percent(good / n)) for _, step, at, n, good in rows],
        "There are no model calls yet: annoy run.",
    )


def _place(step: str) -> tuple[int, int]:
    """Return the place of a step in the order of the pipeline."""
    if step in LINES:
        return 0, list(LINES).index(step)
    return 1, int(step.removeprefix("turn "))


def _name(step: str) -> str:
    return LINES.get(step, f"answers of {step} correct")


def _yield_panel(step: str, times: list[str], of: dict[Any, tuple[int, int]]) -> Panel:
    found = [of.get((step, at)) for at in times]
    dots = [Dot(f[1] / f[0], f[0]) if f else None for f in found]
    n, good = (sum(f[i] for f in found if f) for i in (0, 1))
    labels = [clock(at) for at in times]
    note = f"{format_percent(good / n)} of {n:,}"
    return Panel(_name(step), labels, lines=[Line("", dots)], note=note)


YIELD = Figure(
    "yield",
    _YIELD,
    _render_yield,
    "SELECT MIN(started_at), MAX(started_at) FROM attempts",
)

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
        plot(horizontal_bars, title, "jobs", ungrouped(shown), key) if shown else None,
        ("stage", "state", "reason", "jobs", "example", "detail of an example"),
        table,
        "No job was rejected or failed.",
    )


FAILURES = Figure("failures", _FAILURES, _render_failures)
