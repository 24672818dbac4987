"""Figures of sources: their licences, and near-duplicates."""

from __future__ import annotations

from itertools import pairwise

from annoy_store.report.bar_chart import Bar, horizontal_bars, share_bars, ungrouped
from annoy_store.report.figure import (
    Figure,
    Ref,
    RenderedFigure,
    Rows,
    bucket_sql,
    plot,
    range_names,
    sum_by,
)

# Licences ------------------------------------------------------------------------------------

_LICENCES = """
    SELECT o.licence, COUNT(DISTINCT o.source_id) AS sources, COUNT(DISTINCT s.sample_id) AS samples,
           COUNT(DISTINCT k.chain_id) AS correct
    FROM (SELECT DISTINCT source_id, COALESCE(licence, '') AS licence FROM origins) o
    LEFT JOIN sample_origins s ON s.source_id = o.source_id
    LEFT JOIN (SELECT DISTINCT sample_id, chain_id FROM v_answers WHERE status = 'correct') k
         ON k.sample_id = s.sample_id
    GROUP BY o.licence ORDER BY sources DESC, o.licence
"""
_CLASSES = ("c", "a", "b", "f")
_OTHERS_CLASS = "d"
UNKNOWN = "not stated"
OTHERS = "others"


def _render_licences(rows: Rows) -> RenderedFigure:
    title = "Licences"
    stated = [row for row in rows if row[0]]
    colours = {row[0]: cls for row, cls in zip(stated, _CLASSES, strict=False)}
    bars = [
        Bar(name, _parts(rows, colours, column), f"{total:,}")
        for column, name in enumerate(("sources", "samples", "questions correct"), start=1)
        if (total := sum(int(row[column]) for row in rows))
    ]
    key = [(cls, licence) for licence, cls in colours.items()]
    key += [(_OTHERS_CLASS, OTHERS)] if len(stated) > len(colours) else []
    key += [("e", UNKNOWN)] if len(stated) < len(rows) else []
    return RenderedFigure(
        "licences",
        title,
        "Sources by licence, the samples made of them, and the questions that were answered "
        "correctly in any turn. A row with several licences is counted for each.",
        plot(share_bars, title, "share by licence", ungrouped(bars), key) if bars else None,
        ("licence", "sources", "samples", "questions correct"),
        [(licence or UNKNOWN, *counts) for licence, *counts in rows],
        "There are no sources yet: annoy ingest PATH.",
    )


def _parts(rows: Rows, colours: dict[str, str], column: int) -> tuple[tuple[str, float], ...]:
    named = [(cls, licence) for licence, cls in colours.items()]
    of = {row[0]: float(row[column]) for row in rows}
    others = sum(n for licence, n in of.items() if licence and licence not in colours)
    parts = [(cls, of[licence]) for cls, licence in named]
    return tuple(
        part for part in (*parts, (_OTHERS_CLASS, others), ("e", of.get("", 0.0))) if part[1]
    )


LICENCES = Figure("licences", _LICENCES, _render_licences)

# Near-duplicates -----------------------------------------------------------------------------

SIZES = (2, 3, 4, 6, 11, 51, 101)
_CLUSTERS = f"""
    SELECT kind, size_from, COUNT(*) AS clusters, SUM(size) AS members, MIN(first_id) AS example_id
    FROM (SELECT kind, size, first_id, {bucket_sql("size", SIZES)} AS size_from
          FROM (SELECT kind, cluster, COUNT(*) AS size, MIN(subject_id) AS first_id
                FROM clusters GROUP BY kind, cluster) counted) sized
    GROUP BY kind, size_from ORDER BY kind, size_from
"""
_COLOURS = {"source": "c", "sample": "a"}


def _size_names() -> dict[int, str]:
    names = range_names(SIZES)
    exact = {
        lower: str(lower) if lower + 1 == upper else f"{lower}\u2013{upper - 1}"
        for lower, upper in pairwise(SIZES)
    }
    return {**names, 0: "1", **exact}


def _render_clusters(rows: Rows) -> RenderedFigure:
    title = "Near-duplicates"
    names = _size_names()
    kinds = [kind for kind in _COLOURS if any(row[0] == kind for row in rows)]
    bars = [
        Bar(
            f"size {names[size]}",
            tuple((_COLOURS[r[0]], float(r[3])) for r in rows if int(r[1]) == size),
            f"{n:,}",
        )
        for size, n in sorted(sum_by(rows, 1, 3).items())
    ]
    table = [
        (kind, names[int(size)], n, members, Ref(kind, int(first)) if size else None)
        for kind, size, n, members, first in rows
    ]
    key = [(_COLOURS[kind], f"{kind}s") for kind in kinds]
    return RenderedFigure(
        "clusters",
        title,
        "Sources and samples by the number of near-duplicates in their cluster. "
        "A cluster is put into one split as a whole.",
        plot(horizontal_bars, title, "rows, by cluster size", ungrouped(bars), key)
        if bars
        else None,
        ("kind", "cluster size", "clusters", "members", "one of them"),
        table,
        "There are no clusters yet: run annoy cluster, or export with splits.",
    )


CLUSTERS = Figure("clusters", _CLUSTERS, _render_clusters)
