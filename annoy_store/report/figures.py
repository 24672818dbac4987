"""All figures of a report in their order."""

from __future__ import annotations

from collections.abc import Callable

from annoy_store.report.answer_figures import DIFFICULTY, LENGTHS, WRONG
from annoy_store.report.cost_figures import COST, COST_OVER_TIME
from annoy_store.report.figure import RenderedFigure, RunSql
from annoy_store.report.model_figures import MODELS, SAME_QUESTIONS
from annoy_store.report.pipeline_figures import FAILURES, FUNNEL, YIELD
from annoy_store.report.sandbox_figures import MISSING, SLOWEST
from annoy_store.report.source_figures import CLUSTERS, LICENCES
from annoy_store.report.turn_figures import TASKS, TRANSITIONS

FIGURES = (
    FUNNEL,
    FAILURES,
    TASKS,
    MODELS,
    SAME_QUESTIONS,
    TRANSITIONS,
    WRONG,
    DIFFICULTY,
    COST,
    COST_OVER_TIME,
    YIELD,
    LICENCES,
    LENGTHS,
    CLUSTERS,
    SLOWEST,
    MISSING,
)


def render_all(
    run_sql: RunSql, on_figure: Callable[[str], None] = lambda key: None
) -> list[RenderedFigure]:
    """Read and draw every figure.

    Args:
        run_sql: Runs SQL on the store or its snapshot.
        on_figure: Called with the key of each figure before it is read.
    """
    out = []
    for figure in FIGURES:
        on_figure(figure.key)
        out.append(figure.rendered(run_sql))
    return out
