"""The counts of the dataset card, over the selected subjects, and the check that splits are apart.

Nothing here depends on time, place or ids, so that equal exports have equal cards.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import duckdb
from sqlalchemy import Connection, select, text

from annoy_store.db.tables import teachers, variants
from annoy_store.errors import AnnoyError
from annoy_store.export.format_file import Format
from annoy_store.export.splits import SPLITS
from annoy_store.records.teachers import omitted_names


def compute_statistics(
    duck: duckdb.DuckDBPyConnection, connection: Connection, form: Format
) -> dict[str, Any]:
    """Count the candidates of a plan.

    Args:
        duck: DuckDB with the view `candidates`, which has the attributes origin, cluster and (but
            for formats of samples) teacher.
        connection: The snapshot of the store.
        form: The format.

    Returns:
        Counts by name: `rows` by split, `licences`, `samples`, `sources`, `clusters` by split,
        `funnel` (jobs by stage and state), `shared` (what is in two splits), and for chains also
        `kinds`, `turns`, `statuses`, `teachers`, `checkers` and `omitted` (if anything was).

    Raises:
        AnnoyError: If a cluster, sample, source or prompt is in two splits.
    """
    counts: dict[str, Any] = {
        "rows": _in_order(_counts(duck, "split")),
        "licences": _counts(
            duck, "coalesce(nullif(array_to_string(licences, ' / '), ''), 'unknown')"
        ),
        "samples": _count(duck, "count(DISTINCT sample_id)"),
        "sources": _count(duck, "count(DISTINCT source_id)"),
        "clusters": _clusters(duck),
        "funnel": _funnel(connection),
    }
    counts["shared"] = {
        what: _shared(duck, what) if len(counts["rows"]) > 1 else 0
        for what in ("cluster", "sample_id", "source_id", "prompt_id")
        if what != "prompt_id" or form.record != "sample"
    }
    if any(counts["shared"].values()):
        raise AnnoyError(f"splits leak: {counts['shared']}; nothing was written")
    if form.record != "sample":
        counts["kinds"] = _counts(duck, "kind")
        counts["turns"] = _counts(duck, "turns")
        counts["statuses"] = _counts(duck, "coalesce(last_status, 'not judged')")
        counts["teachers"] = _counts(duck, "concat_ws(' ', backend, nullif(model, ''))")
        if omitted := _omitted(connection, counts["teachers"]):
            counts["omitted"] = omitted
        counts["checkers"] = _checkers(duck, connection)
    return counts


def _in_order(counts: dict[str, int]) -> dict[str, int]:
    return {split: counts[split] for split in sorted(counts, key=SPLITS.index)}


def _counts(duck: duckdb.DuckDBPyConnection, column: str) -> dict[str, int]:
    query = f"SELECT {column} AS word, count(*) FROM candidates GROUP BY 1 ORDER BY 1"
    return {str(word): int(n) for word, n in duck.execute(query).fetchall()}


def _count(duck: duckdb.DuckDBPyConnection, what: str) -> int:
    return int(duck.execute(f"SELECT {what} FROM candidates").fetchall()[0][0])


def _clusters(duck: duckdb.DuckDBPyConnection) -> dict[str, int]:
    query = "SELECT split, count(DISTINCT cluster) FROM candidates GROUP BY 1 ORDER BY 1"
    return {str(split): int(n) for split, n in duck.execute(query).fetchall()}


def _shared(duck: duckdb.DuckDBPyConnection, what: str) -> int:
    """How many of `what` are in more than one split."""
    query = f"""
    SELECT count(*) FROM (SELECT {what} FROM candidates WHERE {what} IS NOT NULL
                          GROUP BY {what} HAVING count(DISTINCT split) > 1)
    """
    return int(duck.execute(query).fetchall()[0][0])


def _funnel(connection: Connection) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for stage, state, n in connection.execute(
        text("SELECT stage, state, jobs FROM v_funnel ORDER BY stage, state")
    ):
        counts.setdefault(stage, {})[state] = int(n)
    return counts


def _omitted(connection: Connection, used: Collection[str]) -> dict[str, list[str]]:
    """The parameters that the endpoints of teachers refused, by teacher."""
    chosen = select(teachers.c.backend, teachers.c.model, teachers.c.omitted)
    found: dict[str, set[str]] = {}
    for row in connection.execute(chosen.where(teachers.c.omitted.is_not(None))):
        name = f"{row.backend} {row.model}".strip()
        if name in used:
            found.setdefault(name, set()).update(omitted_names(row.omitted))
    return {name: sorted(found[name]) for name in sorted(found)}


def _checkers(duck: duckdb.DuckDBPyConnection, connection: Connection) -> list[str]:
    """The versions of the checkers whose verdicts count first."""
    counting = "SELECT id FROM variants WHERE stage = 'verify' AND active = 1"
    ids = [int(key) for (key,) in duck.execute(counting).fetchall()]
    active = select(variants.c.description, variants.c.digest).where(variants.c.id.in_(ids))
    return sorted(f"{row.description} ({row.digest[:12]})" for row in connection.execute(active))
