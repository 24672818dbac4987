"""Figures of cost: per correct answer, and over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from annoy_store.db.cost import ATTEMPT_COST
from annoy_store.report.bar_chart import Bar, BarGroup, horizontal_bars
from annoy_store.report.figure import (
    Figure,
    RenderedFigure,
    Rows,
    model_colours,
    plot,
    question_title,
    task_colours,
)
from annoy_store.report.panel_chart import Panel, panels
from annoy_store.report.svg import format_money, format_number, format_short
from annoy_store.report.time_buckets import clock, time_axis
from annoy_store.report.turn_figures import NONE_CHECKED

# Cost of a correct answer ----------------------------------------------------------------------

_COST = """
    SELECT u.kind, u.model, u.attempts, g.correct, u.prompt_tokens, u.completion_tokens, u.cost_usd
    FROM (SELECT kind, model, SUM(attempts) AS attempts, SUM(prompt_tokens) AS prompt_tokens,
                 SUM(completion_tokens) AS completion_tokens,
                 CASE WHEN COUNT(*) = COUNT(cost_usd) THEN SUM(cost_usd) END AS cost_usd
          FROM v_cost GROUP BY kind, model) u
    LEFT JOIN (SELECT a.kind, t.model, COUNT(DISTINCT a.response_id) AS correct
               FROM v_answers a JOIN teachers t ON t.id = a.teacher_id
               WHERE a.status = 'correct' GROUP BY a.kind, t.model) g
         ON g.kind = u.kind AND g.model = u.model
    ORDER BY u.kind, u.model
"""


def _render_cost(rows: Rows) -> RenderedFigure:
    title = "Cost of a correct answer"
    solved = [row for row in rows if row[3]]
    counted = [row for row in solved if row[4] or row[5]]
    draw = _token_bars if counted else _attempt_bars
    return RenderedFigure(
        "cost",
        title,
        "All attempts of all turns, incorrect and failed ones included, per correct answer. "
        "The cost in USD is known for models with a price.",
        plot(draw, title, counted or solved) if solved else None,
        (
            "question",
            "model",
            "attempts",
            "correct",
            "attempts per correct",
            "prompt tokens per correct",
            "completion tokens per correct",
            "USD per correct",
            "USD total",
        ),
        [_cost_row(row) for row in rows],
        NONE_CHECKED,
    )


def _cost_row(row: tuple[Any, ...]) -> tuple[Any, ...]:
    kind, model, tries, n, prompt, completion, usd = row
    each = [
        round(float(v) / n, 6) if n and v is not None else None
        for v in (tries, prompt, completion, usd)
    ]
    return question_title(kind), model, tries, n, *each, usd


def _token_bars(title: str, rows: Rows, *, width: float) -> str:
    key = [("e", "prompt"), ("a", "completion")]
    groups = _groups(rows, _token_bar)
    return horizontal_bars(title, "tokens per correct answer", groups, key, width=width)


def _token_bar(row: tuple[Any, ...]) -> Bar:
    _, model, _, n, prompt, completion, usd = row
    parts = ("e", float(prompt or 0) / n), ("a", float(completion or 0) / n)
    money = f", {usd / n:.2g} USD" if usd is not None else ""
    return Bar(model, parts, f"{sum(p for _, p in parts):,.0f}{money}")


def _attempt_bars(title: str, rows: Rows, *, width: float) -> str:
    """Draw attempts in place of tokens, for backends that report none."""
    axis = "attempts per correct answer (no tokens reported)"
    return horizontal_bars(title, axis, _groups(rows, _attempt_bar), width=width)


def _attempt_bar(row: tuple[Any, ...]) -> Bar:
    kind, model, tries, n, *_ = row
    colour = task_colours().get(kind, "b")
    return Bar(model, ((colour, tries / n),), f"{format_number(tries / n)} attempts")


def _groups(rows: Rows, bar: Callable[[tuple[Any, ...]], Bar]) -> list[BarGroup]:
    """Return a bar of each row, by question."""
    kinds = dict.fromkeys(row[0] for row in rows)
    return [
        BarGroup(question_title(kind), [bar(row) for row in rows if row[0] == kind])
        for kind in kinds
    ]


COST = Figure("cost", _COST, _render_cost)

# Cost over time --------------------------------------------------------------------------------

_OVER_TIME = f"""
    SELECT SUBSTR(a.started_at, 1, :width) AS time, b.model, COUNT(*) AS attempts,
           SUM(a.prompt_tokens) AS prompt_tokens, SUM(a.completion_tokens) AS completion_tokens,
           SUM({ATTEMPT_COST}) AS cost_usd
    FROM attempts a JOIN teachers b ON b.id = a.teacher_id
    LEFT JOIN prices p ON p.model = b.model AND p.from_time = (
         SELECT MAX(q.from_time) FROM prices q
         WHERE q.model = b.model AND q.from_time <= a.started_at)
    GROUP BY SUBSTR(a.started_at, 1, :width), b.model ORDER BY 1, 2
"""


def _render_over_time(rows: Rows) -> RenderedFigure:
    title = "Cost over time"
    times = sorted({row[0] for row in rows})
    colours = model_colours(rows, 1, 2)
    usd = {(row[0], row[1]): float(row[5] or 0) for row in rows}
    tokens = {(row[0], row[1]): float((row[3] or 0) + (row[4] or 0)) for row in rows}
    tries = {(row[0], row[1]): float(row[2]) for row in rows}
    drawn = [_panel("Attempts", times, colours, tries, f"{sum(tries.values()):,.0f}")]
    if any(tokens.values()):
        note = format_short(sum(tokens.values()))
        drawn.insert(0, _panel("Tokens", times, colours, tokens, note))
    if any(usd.values()):
        note = format_money(sum(usd.values()))
        drawn.insert(0, _total_panel("Cost so far, USD", times, colours, usd, note))
    key = [(cls, model) for model, cls in colours.items()]
    return RenderedFigure(
        "cost_over_time",
        title,
        "Cost, tokens and attempts of all calls by the time of the attempt, for the models with "
        "most attempts. A cost is counted where the price of the model is known.",
        plot(panels, title, time_axis(times), drawn, key) if rows else None,
        ("time", "model", "attempts", "prompt tokens", "completion tokens", "USD"),
        rows,
        "There are no model calls yet: annoy run.",
    )


def _panel(
    name: str,
    times: Sequence[str],
    colours: Mapping[str, str],
    of: Mapping[tuple[str, str], float],
    note: str,
) -> Panel:
    bars = [[(cls, of.get((at, model), 0.0)) for model, cls in colours.items()] for at in times]
    return Panel(name, [clock(at) for at in times], bars, note=note)


def _total_panel(
    name: str,
    times: Sequence[str],
    colours: Mapping[str, str],
    of: Mapping[tuple[str, str], float],
    note: str,
) -> Panel:
    """Return a panel of running totals."""
    totals = {
        (at, model): total
        for model in colours
        for at, total in zip(
            times, accumulate(of.get((at, model), 0.0) for at in times), strict=True
        )
    }
    return _panel(name, times, colours, totals, note)


COST_OVER_TIME = Figure(
    "cost_over_time",
    _OVER_TIME,
    _render_over_time,
    "SELECT MIN(started_at), MAX(started_at) FROM attempts",
)
