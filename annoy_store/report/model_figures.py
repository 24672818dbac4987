"""Figures of models side by side: by task, and on the same questions."""

from __future__ import annotations

from annoy_store.analysis.task_titles import task_titles
from annoy_store.benchmark.intervals import wilson_interval
from annoy_store.report.bar_chart import Bar, BarGroup, share_bars, ungrouped
from annoy_store.report.figure import Figure, Ref, RenderedFigure, Rows, plot, question_title
from annoy_store.report.svg import format_percent
from annoy_store.report.turn_figures import NONE_CHECKED, gain

MAX_BARS = 12  # models of one task
_MODELS = """
    SELECT kind, model, COUNT(*) AS questions,
           SUM(CASE WHEN turn = 1 THEN 1 ELSE 0 END) AS correct_in_turn_1,
           SUM(CASE WHEN turn >= 1 THEN 1 ELSE 0 END) AS correct
    FROM (SELECT a.kind, a.chain_id, MAX(CASE WHEN a.number = 1 THEN t.model END) AS model,
                 MIN(CASE WHEN a.status = 'correct' THEN a.number END) AS turn
          FROM v_answers a JOIN teachers t ON t.id = a.teacher_id
          WHERE a.status IS NOT NULL GROUP BY a.kind, a.chain_id) chains
    WHERE model IS NOT NULL GROUP BY kind, model ORDER BY kind, questions DESC, model
"""


def _render_models(rows: Rows) -> RenderedFigure:
    title = "Models"
    groups = [
        BarGroup(name, [_model_bar(*row[1:]) for row in rows if row[0] == kind][:MAX_BARS])
        for kind, name in task_titles().items()
        if any(row[0] == kind for row in rows)
    ]
    key = [("c", "correct in turn 1"), ("c2", "corrected later"), ("e", "not correct")]
    table = [
        (
            question_title(kind),
            model,
            n,
            first,
            format_percent(first / n),
            correct,
            format_percent(correct / n),
        )
        for kind, model, n, first, correct in rows
    ]
    return RenderedFigure(
        "models",
        title,
        "Questions with a checked answer, by the model of the first answer. The thin lines are "
        "95 % confidence intervals (Wilson) of the share correct in turn 1.",
        plot(share_bars, title, "share of the questions of task and model", groups, key)
        if groups
        else None,
        (
            "question",
            "model",
            "questions",
            "correct in turn 1",
            "share in turn 1",
            "correct in any turn",
            "share in any turn",
        ),
        table,
        NONE_CHECKED,
    )


def _model_bar(model: str, n: int, first: int, correct: int) -> Bar:
    parts = ("c", float(first)), ("c2", float(correct - first)), ("e", float(n - correct))
    tooltip = f"{model}: {first:,} correct in turn 1, {correct - first:,} corrected later, of {n:,}"
    return Bar(model, parts, gain(first, correct, n), tooltip, wilson_interval(first, n))


MODELS = Figure("models", _MODELS, _render_models)

# The same questions --------------------------------------------------------------------------

_SAME = """
    WITH judged AS (
        SELECT a.prompt_id, t.model,
               MAX(CASE WHEN a.status = 'correct' THEN 1 ELSE 0 END) AS correct
        FROM v_answers a JOIN teachers t ON t.id = a.teacher_id
        WHERE a.number = 1 AND a.status IS NOT NULL GROUP BY a.prompt_id, t.model)
    SELECT x.model AS first_model, y.model AS second_model,
           SUM(x.correct * y.correct) AS both_correct,
           SUM(x.correct * (1 - y.correct)) AS only_first,
           SUM((1 - x.correct) * y.correct) AS only_second,
           SUM((1 - x.correct) * (1 - y.correct)) AS neither,
           MIN(CASE WHEN x.correct + y.correct = 0 THEN x.prompt_id END) AS missed_prompt_id
    FROM judged x JOIN judged y ON y.prompt_id = x.prompt_id AND y.model > x.model
    GROUP BY x.model, y.model ORDER BY COUNT(*) DESC, 1, 2 LIMIT 10
"""
_CELLS = ("both correct", "only the first", "only the second", "neither")


def _render_same(rows: Rows) -> RenderedFigure:
    title = "Two models on the same questions"
    bars = [
        Bar(
            f"{one}, {other}",
            tuple((cls, float(n)) for cls, n in zip("cabe", counts, strict=True)),
            f"{sum(counts):,} questions",
            f"{one}, {other}: "
            + ", ".join(f"{name} {n:,}" for name, n in zip(_CELLS, counts, strict=True)),
        )
        for one, other, *counts, _ in rows
    ]
    table = [(*row[:6], Ref("prompt", int(row[6])) if row[6] is not None else None) for row in rows]
    return RenderedFigure(
        "same_questions",
        title,
        "First-turn questions that two models have answered, by which of them is correct in any of "
        "its answers. The table links to a question that neither answered correctly.",
        plot(
            share_bars,
            title,
            "share of the questions that both answered",
            ungrouped(bars),
            list(zip("cabe", _CELLS, strict=True)),
        )
        if bars
        else None,
        ("first model", "second model", *_CELLS, "missed by both"),
        table,
        "No question was answered by two models: annoy resample --pin -m MODEL, then annoy run -m MODEL.",
    )


SAME_QUESTIONS = Figure("same_questions", _SAME, _render_same)
