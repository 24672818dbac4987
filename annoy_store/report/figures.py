"""The figures of a report in their order, and near-duplicates, which belong to no other group."""

from __future__ import annotations

from collections.abc import Callable

from annoy_store.report.answer_figures import COST, DIFFICULTY, LENGTHS, TRANSITIONS, WRONG
from annoy_store.report.charts import Bar, horizontal_bars
from annoy_store.report.figure import Ask, Figure, Ref, RenderedFigure, Rows, bucketed, sums
from annoy_store.report.pipeline_figures import FAILURES, FUNNEL, YIELD
from annoy_store.report.sandbox_figures import MISSING, SLOWEST

SIZES = (2, 3, 4, 6, 11, 51, 101)
_CLUSTERS = f"""
    SELECT kind, bucket, COUNT(*), SUM(size) FROM (
        SELECT kind, size, {bucketed("size", SIZES)} AS bucket FROM (
            SELECT kind, cluster, COUNT(*) AS size FROM clusters GROUP BY kind, cluster) sized) named
    GROUP BY kind, bucket ORDER BY kind, bucket
"""
_LARGEST = """
    SELECT kind, cluster, COUNT(*), MIN(subject_id) FROM clusters GROUP BY kind, cluster
    HAVING COUNT(*) > 1 ORDER BY 3 DESC, 2 LIMIT 12
"""
NAMES = ["alone", "2", "3", "4\u20135", "6\u201310", "11\u201350", "51\u2013100", "over 100"]


def _ask_clusters(ask: Ask) -> tuple[Rows, Rows]:
    return ask(_CLUSTERS), ask(_LARGEST)


def _draw_clusters(asked: tuple[Rows, Rows]) -> RenderedFigure:
    rows, largest = asked
    title = "Near-duplicates"
    kinds = [kind for kind in ("source", "sample") if any(r[0] == kind for r in rows)]
    colour = {"source": "c", "sample": "a"}
    shown = [
        Bar(NAMES[i], tuple((colour[r[0]], float(r[3])) for r in rows if int(r[1]) == i), f"{n:,}")
        for i, n in sorted(sums(rows, 1, 3).items())
    ]
    table = [(kind, name, n, Ref(kind, int(first))) for kind, name, n, first in largest]
    return RenderedFigure(
        "clusters",
        title,
        "Sources and samples by how many near-duplicates of one another lie in "
        "their cluster. A cluster goes into one split as a whole. The table has the largest.",
        horizontal_bars(
            title,
            "rows, by the size of their cluster",
            shown,
            [(colour[k], f"{k}s") for k in kinds],
        )
        if shown
        else "",
        ("kind", "cluster", "members", "one of them"),
        table,
        "Nothing was compared yet: an export with splits does it, and so does annoy cluster.",
    )


CLUSTERS = Figure("clusters", _ask_clusters, _draw_clusters)

FIGURES = (
    FUNNEL,
    YIELD,
    FAILURES,
    WRONG,
    TRANSITIONS,
    DIFFICULTY,
    COST,
    LENGTHS,
    CLUSTERS,
    SLOWEST,
    MISSING,
)


def draw_all(ask: Ask, tell: Callable[[str], None] = lambda key: None) -> list[RenderedFigure]:
    """Ask and draw every figure; `tell` hears which one is next."""
    out = []
    for figure in FIGURES:
        tell(figure.key)
        out.append(figure.draw(figure.ask(ask)))
    return out
