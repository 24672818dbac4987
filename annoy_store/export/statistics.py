"""What a dataset card tells of an export: counts over the chosen subjects, and the proof of splits.

Nothing here depends on time, place or ids, so that equal exports have equal cards.
"""

from __future__ import annotations

from typing import Any

import duckdb
from sqlalchemy import Connection, select, text

from annoy_store.db.tables import variants
from annoy_store.errors import AnnoyError
from annoy_store.export.format_file import Format
from annoy_store.export.splits import SPLITS


def compute_statistics(
    duck: duckdb.DuckDBPyConnection, connection: Connection, form: Format
) -> dict[str, Any]:
    """Return what is to be told of `candidates`. Raises AnnoyError if a cluster is in two splits."""
    told: dict[str, Any] = {
        "rows": _in_order(_counts(duck, "split")),
        "licences": _counts(
            duck, "coalesce(nullif(array_to_string(licences, ' / '), ''), 'unknown')"
        ),
        "samples": _one(duck, "count(DISTINCT sample_id)"),
        "sources": _one(duck, "count(DISTINCT source_id)"),
        "clusters": _clusters(duck),
        "funnel": _funnel(connection),
    }
    told["shared"] = {
        what: _shared(duck, what) if len(told["rows"]) > 1 else 0
        for what in ("cluster", "sample_id", "source_id", "prompt_id")
        if what != "prompt_id" or form.record != "sample"
    }
    if any(told["shared"].values()):
        raise AnnoyError(f"splits leak: {told['shared']}; nothing was written")
    if form.record != "sample":
        told["kinds"] = _counts(duck, "kind")
        told["turns"] = _counts(duck, "turns")
        told["statuses"] = _counts(duck, "coalesce(last_status, 'not judged')")
        told["teachers"] = _counts(duck, "concat_ws(' ', backend, nullif(model, ''))")
        told["checkers"] = _checkers(duck, connection)
    return told


def _in_order(counts: dict[str, int]) -> dict[str, int]:
    return {split: counts[split] for split in sorted(counts, key=SPLITS.index)}


def _counts(duck: duckdb.DuckDBPyConnection, column: str) -> dict[str, int]:
    query = f"SELECT {column} AS word, count(*) FROM candidates GROUP BY 1 ORDER BY 1"
    return {str(word): int(n) for word, n in duck.execute(query).fetchall()}


def _one(duck: duckdb.DuckDBPyConnection, what: str) -> int:
    return int(duck.execute(f"SELECT {what} FROM candidates").fetchall()[0][0])


def _clusters(duck: duckdb.DuckDBPyConnection) -> dict[str, int]:
    query = "SELECT split, count(DISTINCT cluster) FROM candidates GROUP BY 1 ORDER BY 1"
    return {str(split): int(n) for split, n in duck.execute(query).fetchall()}


def _shared(duck: duckdb.DuckDBPyConnection, what: str) -> int:
    """How many of `what` are in more than one split; none, or the split is no split."""
    query = f"""
    SELECT count(*) FROM (SELECT {what} FROM candidates WHERE {what} IS NOT NULL
                          GROUP BY {what} HAVING count(DISTINCT split) > 1)
    """
    return int(duck.execute(query).fetchall()[0][0])


def _funnel(connection: Connection) -> dict[str, dict[str, int]]:
    told: dict[str, dict[str, int]] = {}
    for stage, state, n in connection.execute(
        text("SELECT stage, state, jobs FROM v_funnel ORDER BY stage, state")
    ):
        told.setdefault(stage, {})[state] = int(n)
    return told


def _checkers(duck: duckdb.DuckDBPyConnection, connection: Connection) -> list[str]:
    """The versions of the checkers whose verdicts count first, as they describe themselves."""
    counting = "SELECT id FROM variants WHERE stage = 'verify' AND active = 1"
    ids = [int(key) for (key,) in duck.execute(counting).fetchall()]
    active = select(variants.c.description, variants.c.digest).where(variants.c.id.in_(ids))
    return sorted(f"{row.description} ({row.digest[:12]})" for row in connection.execute(active))
