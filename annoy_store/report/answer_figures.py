"""Figures of answers: error types, difficulty, prompt lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annoy_store.analysis.task_titles import question_titles, task_titles
from annoy_store.benchmark.intervals import wilson_interval
from annoy_store.report.bar_chart import Bar, horizontal_bars, ungrouped
from annoy_store.report.figure import (
    Figure,
    Ref,
    RenderedFigure,
    Rows,
    bucket_sql,
    model_colours,
    plot,
    question_title,
    range_names,
    spanned,
    task_colours,
)
from annoy_store.report.panel_chart import Dot, Line, Panel, panels
from annoy_store.report.svg import format_percent, format_short
from annoy_store.report.turn_figures import NONE_CHECKED

# Incorrect answers -------------------------------------------------------------------------------

_WRONG = """
    SELECT kind, status, mismatch, COUNT(DISTINCT response_id) AS answers,
           MIN(response_id) AS example_response_id
    FROM v_answers WHERE status <> 'correct'
    GROUP BY kind, status, mismatch ORDER BY 4 DESC, 1, 2, 3
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
    seen = {row[0] for row in rows}
    key = [(colours[kind], name) for kind, name in titles.items() if kind in seen]
    table = [(question_title(k), s, m, n, Ref("response", int(i))) for k, s, m, n, i in rows]
    return RenderedFigure(
        "wrong",
        title,
        "Answers of all turns that are not correct, by status; wrong values by how they differ from "
        "the correct one.",
        plot(horizontal_bars, title, "answers", ungrouped(shown), key) if shown else None,
        ("question", "status", "mismatch", "answers", "example"),
        table,
        "There are no incorrect answers.",
    )


WRONG = Figure("wrong", _WRONG, _render_wrong)

# Difficulty ----------------------------------------------------------------------------------

LINES = (5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 1_000, 10_000)
_DIFFICULTY = f"""
    SELECT kind, model, lines_from, COUNT(*) AS answers,
           SUM(CASE WHEN status = 'correct' THEN 1 ELSE 0 END) AS correct
    FROM (SELECT DISTINCT a.kind, t.model, a.response_id, a.status,
                 {bucket_sql("c.lines_executed", LINES)} AS lines_from
          FROM v_answers a JOIN v_current_pairs c ON c.id = a.io_pair_id
          JOIN teachers t ON t.id = a.teacher_id
          WHERE a.number = 1 AND a.status IS NOT NULL AND c.lines_executed IS NOT NULL) judged
    GROUP BY kind, model, lines_from ORDER BY kind, model, lines_from
"""


def _render_difficulty(rows: Rows) -> RenderedFigure:
    title = "Correct answers by difficulty"
    names = range_names(LINES, format_short)
    shown = spanned(names, [int(row[2]) for row in rows])
    colours = model_colours(rows, 1, 3)
    of = {(kind, model, int(lo)): (int(n), int(good)) for kind, model, lo, n, good in rows}
    labels = [names[lo] for lo in shown]
    drawn = [
        Panel(
            name,
            labels,
            lines=[
                _rates(model, cls, [of.get((kind, model, lo)) for lo in shown])
                for model, cls in colours.items()
            ],
            note=_rate_note([counts for key, counts in of.items() if key[0] == kind]),
        )
        for kind, name in task_titles().items()
        if any(key[0] == kind for key in of)
    ]
    table = [
        (question_title(kind), model, names[int(lo)], n, good, format_percent(good / n))
        for kind, model, lo, n, good in rows
    ]
    return RenderedFigure(
        "difficulty",
        title,
        "First answers, by the number of lines that the code executes for the pair. "
        "The wide bars are 95 % confidence intervals (Wilson).",
        plot(panels, title, "lines executed", drawn, _key(colours), 2) if drawn else None,
        ("question", "model", "lines executed", "answers", "correct", "share"),
        table,
        NONE_CHECKED,
    )


def _key(colours: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return a legend of models; none for a single one."""
    return [(cls, model) for model, cls in colours.items()] if len(colours) > 1 else []


def _rates(model: str, cls: str, found: Sequence[tuple[int, int] | None]) -> Line:
    dots = [Dot(f[1] / f[0], f[0], *wilson_interval(f[1], f[0])) if f else None for f in found]
    return Line(model, dots, cls)


def _rate_note(counts: Sequence[tuple[int, int]]) -> str:
    n, good = (sum(of[i] for of in counts) for i in (0, 1))
    return f"{format_percent(good / n)} of {n:,}"


DIFFICULTY = Figure("difficulty", _DIFFICULTY, _render_difficulty)

# Prompts -------------------------------------------------------------------------------------

SIZES = (250, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000, 8_000, 12_000, 16_000, 32_000, 64_000)
_LENGTHS = f"""
    SELECT kind, chars_from, COUNT(*) AS prompts, MAX(n_chars) AS longest
    FROM (SELECT t.kind, p.n_chars, {bucket_sql("p.n_chars", SIZES)} AS chars_from
          FROM turns t JOIN prompts p ON p.id = t.prompt_id) sized
    GROUP BY kind, chars_from ORDER BY kind, chars_from
"""


def _render_lengths(rows: Rows) -> RenderedFigure:
    title = "Prompt lengths"
    names = range_names(SIZES, format_short)
    shown = spanned(names, [int(row[1]) for row in rows])
    drawn = [
        _length_panel(kind, name, shown, [row for row in rows if row[0] == kind])
        for kind, name in question_titles().items()
        if any(row[0] == kind for row in rows)
    ]
    table = [(question_title(k), names[int(lo)], n, most) for k, lo, n, most in rows]
    return RenderedFigure(
        "lengths",
        title,
        "Prompts of all turns by their length in characters.",
        plot(panels, title, "characters", drawn) if drawn else None,
        ("question", "characters", "prompts", "longest"),
        table,
        "There are no prompts yet.",
    )


def _length_panel(kind: str, name: str, shown: Sequence[int], rows: Rows) -> Panel:
    of: dict[int, Any] = {int(lo): n for _, lo, n, _ in rows}
    names = range_names(SIZES, format_short)
    colour = task_colours()[kind]
    longest = max(int(most) for *_, most in rows)
    return Panel(
        name,
        [names[lo] for lo in shown],
        [((colour, float(of.get(lo, 0))),) for lo in shown],
        note=f"{sum(of.values()):,}, the longest {longest:,}",
    )


LENGTHS = Figure("lengths", _LENGTHS, _render_lengths)
