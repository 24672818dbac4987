"""Figures of answers: error types, second turns, difficulty, cost, prompt lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annoy_store.analysis.task_titles import question_titles, task_titles
from annoy_store.benchmark.intervals import wilson_interval
from annoy_store.db.tables import STATUSES
from annoy_store.report.charts import Bar, Dot, HeatMap, Panel, heat_maps, horizontal_bars, panels
from annoy_store.report.figure import (
    Figure,
    Ref,
    RenderedFigure,
    Rows,
    RunSql,
    bucket_sql,
    range_labels,
    sum_by,
    task_colours,
)
from annoy_store.report.svg import format_number, format_percent, format_short

WAITING = "not checked yet"
NONE_CHECKED = "There are no checked answers yet."


def _title(kind: str) -> str:
    return question_titles().get(kind, kind)


def _colour(kind: str) -> str:
    return task_colours().get(kind, "b")


# Incorrect answers -------------------------------------------------------------------------------

_WRONG = """
    SELECT kind, status, mismatch, COUNT(DISTINCT response_id), MIN(response_id) FROM v_answers
    WHERE status <> 'correct' GROUP BY kind, status, mismatch ORDER BY 4 DESC, 1, 2, 3
"""


def _render_wrong(rows: Rows) -> RenderedFigure:
    title = "Error types"
    by: dict[str, dict[str, int]] = {}
    for kind, status, mismatch, n, _ in rows:
        by.setdefault(f"{status}: {mismatch}" if mismatch else status, {})[kind] = n
    most = sorted(by.items(), key=lambda item: (-sum(item[1].values()), item[0]))[:16]
    colours, titles = task_colours(), task_titles()
    shown = [
        Bar(label, tuple((colours[kind], float(of[kind])) for kind in titles if kind in of))
        for label, of in most
    ]
    key = [(colours[kind], name) for kind, name in titles.items()]
    table = [(_title(k), s, m, n, Ref("response", int(i))) for k, s, m, n, i in rows]
    return RenderedFigure(
        "wrong",
        title,
        "Answers of all turns that are not correct, by status; wrong values by how they differ from "
        "the correct one.",
        horizontal_bars(title, "answers", shown, key) if shown else "",
        ("question", "status", "mismatch", "answers", "example"),
        table,
        "There are no incorrect answers.",
    )


WRONG = Figure("wrong", lambda run_sql: run_sql(_WRONG), _render_wrong)

# From turn 1 to turn 2 -----------------------------------------------------------------------


def _render_transitions(rows: Rows) -> RenderedFigure:
    wrong = [r for r in rows if r[1] != "correct"]
    maps = [_map(kind, [r for r in wrong if r[0] == kind]) for kind in task_titles()]
    title = "From turn 1 to turn 2"
    shown = [m for m in maps if m.rows]
    total = sum_by(rows, 1, 3)
    table = [
        (
            _title(kind),
            one,
            two or ("" if one == "correct" else WAITING),
            n,
            format_percent(n / total[one]),
        )
        for kind, one, two, n in sorted(rows, key=lambda r: (str(r[0]), -r[3]))
    ]
    return RenderedFigure(
        "transitions",
        title,
        "Status in turn 2 of answers that were not correct in turn 1. "
        "A darker cell is a larger share of its row.",
        heat_maps(title, "turn 1", "turn 2", shown) if shown else "",
        ("question", "turn 1", "turn 2", "chains", "share of turn 1"),
        table,
        "There are no revised answers yet.",
    )


def _map(kind: str, rows: Rows) -> HeatMap:
    of = {(one, two or WAITING): int(n) for _, one, two, n in rows}
    down = [s for s in STATUSES if any(k[0] == s for k in of)]
    across = [s for s in (*STATUSES, WAITING) if s == "correct" or any(k[1] == s for k in of)]
    fixed = sum(n for (_, two), n in of.items() if two == "correct")
    total = sum(of.values())
    title = f"{_title(kind)}: {fixed:,} of {total:,} corrected" if total else _title(kind)
    return HeatMap(title, down, across, [[of.get((r, c), 0) for c in across] for r in down])


TRANSITIONS = Figure(
    "transitions",
    lambda run_sql: run_sql("SELECT kind, status_1, status_2, chains FROM v_transitions"),
    _render_transitions,
)

# Difficulty ----------------------------------------------------------------------------------

LINES = (5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 1_000, 10_000)
_DIFFICULTY = f"""
    SELECT kind, bucket, COUNT(*), SUM(CASE WHEN status = 'correct' THEN 1 ELSE 0 END)
    FROM (SELECT DISTINCT a.kind, a.response_id, a.status, {bucket_sql("c.lines_executed", LINES)} AS bucket
          FROM v_answers a JOIN v_current_pairs c ON c.id = a.io_pair_id
          WHERE a.number = 1 AND a.status IS NOT NULL AND c.lines_executed IS NOT NULL) judged
    GROUP BY kind, bucket ORDER BY kind, bucket
"""


def _render_difficulty(rows: Rows) -> RenderedFigure:
    title = "Correct answers by difficulty"
    names = range_labels(LINES)
    seen = sorted({int(bucket) for _, bucket, _, _ in rows})
    labels = [names[i] for i in range(seen[0], seen[-1] + 1)] if seen else []
    of = {(kind, names[int(b)]): (int(n), int(good)) for kind, b, n, good in rows}
    shown = [_rates(kind, labels, of) for kind in task_titles() if any(k[0] == kind for k in of)]
    table = [
        (_title(kind), names[int(b)], n, good, format_percent(good / n))
        for kind, b, n, good in rows
    ]
    return RenderedFigure(
        "difficulty",
        title,
        "First answers, by the number of lines that the code executes for the pair. "
        "The bars are 95 % confidence intervals (Wilson).",
        panels(title, "lines executed", shown, 2) if shown else "",
        ("question", "lines executed", "answers", "correct", "share"),
        table,
        NONE_CHECKED,
    )


def _rates(kind: str, labels: list[str], of: Mapping[Any, tuple[int, int]]) -> Panel:
    found = [of.get((kind, label)) for label in labels]
    dots = [Dot(f[1] / f[0], f[0], *wilson_interval(f[1], f[0])) if f else None for f in found]
    n, good = (sum(f[i] for f in found if f) for i in (0, 1))
    note = f"{format_percent(good / n)} of {n:,}"
    return Panel(_title(kind), labels, dots=dots, note=note, cls=_colour(kind))


DIFFICULTY = Figure("difficulty", lambda run_sql: run_sql(_DIFFICULTY), _render_difficulty)

# Cost ----------------------------------------------------------------------------------------

_USAGE = """
    SELECT kind, model, SUM(attempts), SUM(answered), SUM(prompt_tokens), SUM(completion_tokens),
           CASE WHEN COUNT(*) = COUNT(cost_usd) THEN SUM(cost_usd) END FROM v_cost GROUP BY kind, model ORDER BY kind, model
"""
_CORRECT = """
    SELECT a.kind, t.model, COUNT(DISTINCT a.response_id) FROM v_answers a JOIN teachers t ON t.id = a.teacher_id
    WHERE a.status = 'correct' GROUP BY a.kind, t.model
"""


def _fetch_cost(run_sql: RunSql) -> tuple[Rows, Rows]:
    return run_sql(_USAGE), run_sql(_CORRECT)


def _render_cost(data: tuple[Rows, Rows]) -> RenderedFigure:
    usage, right = data
    correct = {(kind, model): int(n) for kind, model, n in right}
    table = [_cost_row(row, correct.get((row[0], row[1]), 0)) for row in usage]
    title = "Cost of a correct answer"
    counted = [row for row in usage if correct.get((row[0], row[1])) and (row[4] or row[5])]
    solved = [row for row in usage if correct.get((row[0], row[1]))]
    svg = _token_bars(title, counted, correct) if counted else _attempt_bars(title, solved, correct)
    return RenderedFigure(
        "cost",
        title,
        "All attempts of all turns, incorrect and failed ones included, per correct answer. "
        "The cost in USD is known for models with a price.",
        svg if solved else "",
        (
            "question",
            "model",
            "tries",
            "correct",
            "tries each",
            "prompt tokens each",
            "completion tokens each",
            "USD each",
            "USD in all",
        ),
        table,
        NONE_CHECKED,
    )


def _cost_row(row: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    kind, model, tries, _, prompt, completion, usd = row
    each = [
        round(float(v) / n, 6) if n and v is not None else None
        for v in (tries, prompt, completion, usd)
    ]
    return _title(kind), model, tries, n or None, *each, usd


def _token_bars(title: str, rows: Rows, correct: Mapping[Any, int]) -> str:
    shown = []
    for kind, model, _, _, prompt, completion, usd in rows:
        n = correct[kind, model]
        parts = ("e", (prompt or 0) / n), ("a", (completion or 0) / n)
        money = f", {usd / n:.2g} USD" if usd is not None else ""
        shown.append(
            Bar(f"{_title(kind)}, {model}", parts, f"{sum(p for _, p in parts):,.0f}{money}")
        )
    return horizontal_bars(
        title, "tokens per correct answer", shown, [("e", "prompt"), ("a", "completion")]
    )


def _attempt_bars(title: str, rows: Rows, correct: Mapping[Any, int]) -> str:
    """Draw attempts in place of tokens, for backends that report none."""
    shown = [
        Bar(
            f"{_title(kind)}, {model}",
            ((_colour(kind), tries / correct[kind, model]),),
            f"{format_number(tries / correct[kind, model])} attempts",
        )
        for kind, model, tries, *_ in rows
    ]
    return horizontal_bars(title, "attempts per correct answer (no tokens reported)", shown)


COST = Figure("cost", _fetch_cost, _render_cost)

# Prompts -------------------------------------------------------------------------------------

SIZES = (250, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000, 8_000, 12_000, 16_000, 32_000, 64_000)
_LENGTHS = f"""
    SELECT kind, bucket, COUNT(*), MAX(n_chars)
    FROM (SELECT t.kind, p.n_chars, {bucket_sql("p.n_chars", SIZES)} AS bucket
          FROM turns t JOIN prompts p ON p.id = t.prompt_id) sized
    GROUP BY kind, bucket ORDER BY kind, bucket
"""


def _render_lengths(rows: Rows) -> RenderedFigure:
    title = "Prompt lengths"
    names = range_labels(SIZES, format_short)
    seen = [int(bucket) for _, bucket, _, _ in rows]
    span = range(min(seen), max(seen) + 1) if seen else range(0)
    shown = []
    for kind, name in question_titles().items():
        of = {int(b): int(n) for k, b, n, _ in rows if k == kind}
        if of:
            top = max(int(most) for k, _, _, most in rows if k == kind)
            shown.append(
                Panel(
                    name,
                    [names[i] for i in span],
                    [of.get(i, 0) for i in span],
                    note=f"{sum(of.values()):,}, the longest {top:,}",
                    cls=_colour(kind),
                )
            )
    table = [(_title(k), names[int(b)], n, most) for k, b, n, most in rows]
    return RenderedFigure(
        "lengths",
        title,
        "Prompts of all turns by their length in characters.",
        panels(title, "characters", shown) if shown else "",
        ("question", "characters", "prompts", "longest"),
        table,
        "There are no prompts yet.",
    )


LENGTHS = Figure("lengths", lambda run_sql: run_sql(_LENGTHS), _render_lengths)
