"""All figures of a report in their order, and the figure of near-duplicates."""

from __future__ import annotations

from collections.abc import Callable

from annoy_store.report.answer_figures import COST, DIFFICULTY, LENGTHS, TRANSITIONS, WRONG
from annoy_store.report.charts import Bar, horizontal_bars
from annoy_store.report.figure import Figure, Ref, RenderedFigure, Rows, RunSql, bucket_sql, sum_by
from annoy_store.report.pipeline_figures import FAILURES, FUNNEL, YIELD
from annoy_store.report.sandbox_figures import MISSING, SLOWEST

SIZES = (2, 3, 4, 6, 11, 51, 101)
_CLUSTERS = f"""
    SELECT kind, bucket, COUNT(*), SUM(size) FROM (
        SELECT kind, size, {bucket_sql("size", SIZES)} AS bucket FROM (
            SELECT kind, cluster, COUNT(*) AS size FROM clusters GROUP BY kind, cluster) sized) named
    GROUP BY kind, bucket ORDER BY kind, bucket
"""
_LARGEST = """
    SELECT kind, cluster, COUNT(*), MIN(subject_id) FROM clusters GROUP BY kind, cluster
    HAVING COUNT(*) > 1 ORDER BY 3 DESC, 2 LIMIT 12
"""
NAMES = ["1", "2", "3", "4\u20135", "6\u201310", "11\u201350", "51\u2013100", "over 100"]


def _fetch_clusters(run_sql: RunSql) -> tuple[Rows, Rows]:
    return run_sql(_CLUSTERS), run_sql(_LARGEST)


def _render_clusters(data: tuple[Rows, Rows]) -> RenderedFigure:
    rows, largest = data
    title = "Near-duplicates"
    kinds = [kind for kind in ("source", "sample") if any(r[0] == kind for r in rows)]
    colour = {"source": "c", "sample": "a"}
    shown = [
        Bar(NAMES[i], tuple((colour[r[0]], float(r[3])) for r in rows if int(r[1]) == i), f"{n:,}")
        for i, n in sorted(sum_by(rows, 1, 3).items())
    ]
    table = [(kind, name, n, Ref(kind, int(first))) for kind, name, n, first in largest]
    return RenderedFigure(
        "clusters",
        title,
        "Sources and samples by the number of near-duplicates in their cluster. "
        "A cluster is put into one split as a whole. The table lists the largest clusters.",
        horizontal_bars(
            title,
            "rows, by cluster size",
            shown,
            [(colour[k], f"{k}s") for k in kinds],
        )
        if shown
        else "",
        ("kind", "cluster", "members", "one of them"),
        table,
        "There are no clusters yet: run annoy cluster, or export with splits.",
    )


CLUSTERS = Figure("clusters", _fetch_clusters, _render_clusters)

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


def render_all(
    run_sql: RunSql, on_figure: Callable[[str], None] = lambda key: None
) -> list[RenderedFigure]:
    """Fetch and render every figure.

    Args:
        run_sql: Runs SQL on the store or its snapshot.
        on_figure: Called with the key of each figure before it is fetched.
    """
    out = []
    for figure in FIGURES:
        on_figure(figure.key)
        out.append(figure.render(figure.fetch(run_sql)))
    return out
