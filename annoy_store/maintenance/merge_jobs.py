"""Jobs of two stores that are merged: what ended in either has ended.

Decisions
- A job that ended in both keeps the better end: done, else rejected, else failed.
- A job that was rejected there because its subject was hidden says nothing about this store.
- A job that a worker or an open batch holds here is left to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from annoy_store.db.sql import in_values, insert_new
from annoy_store.db.states import ENDED_STATES, WAITING_STATES
from annoy_store.db.tables import jobs
from annoy_store.queue.counters import NO_WORKER, add_to_counters
from annoy_store.queue.jobs import IN_BATCH

Rows = Sequence[Mapping[str, Any]]
JobKey = tuple[str, int, int]  # stage, subject, variant
_RANK = {state: rank for rank, state in enumerate(ENDED_STATES)}


def is_final(job: Mapping[str, Any]) -> bool:
    """Return whether a job of the other store has ended for good."""
    return job["state"] in ENDED_STATES and job["reason"] != "not_wanted"


def write_jobs(connection: Connection, rows: Rows) -> int:
    """Take over jobs that ended in another store.

    Args:
        connection: A write transaction of this store.
        rows: The jobs, with ids of this store.

    Returns:
        How many are new here or ended by it.
    """
    here = _here(connection, rows)
    fresh = [row for row in rows if _key(row) not in here]
    insert_new(connection, jobs, fresh)
    deltas: Counter[tuple[str, str]] = Counter((row["stage"], row["state"]) for row in fresh)
    better = [row for row in rows if _key(row) in here and _is_better(row, here[_key(row)])]
    for row in better:
        stage, subject, variant = _key(row)
        connection.execute(
            update(jobs)
            .where(jobs.c.stage == stage, jobs.c.subject_id == subject)
            .where(jobs.c.variant_id == variant)
            .values(state=row["state"], reason=row["reason"], detail=row["detail"], due_at=None)
        )
        deltas[stage, here[_key(row)]["state"]] -= 1
        deltas[stage, row["state"]] += 1
    add_to_counters(connection, NO_WORKER, deltas)
    return len(fresh) + len(better)


def _is_better(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    if ours["state"] in WAITING_STATES:
        return bool(ours["reason"] != IN_BATCH)
    if ours["state"] not in ENDED_STATES:
        return False
    return _place(theirs) < _place(ours)


def _place(job: Mapping[str, Any]) -> tuple[bool, int, str, str]:
    """Where a job stands in the order of ends; the reasons decide, so that all stores agree."""
    unwanted = job["reason"] == "not_wanted"
    return unwanted, _RANK[job["state"]], job["reason"] or "", job["detail"] or ""


def _key(row: Mapping[str, Any]) -> JobKey:
    return row["stage"], row["subject_id"], row["variant_id"]


def _here(connection: Connection, rows: Rows) -> dict[JobKey, Mapping[str, Any]]:
    """Our jobs among `rows`, locked until the end of the transaction."""
    found: dict[JobKey, Mapping[str, Any]] = {}
    for stage in sorted({row["stage"] for row in rows}):
        subjects = sorted({row["subject_id"] for row in rows if row["stage"] == stage})
        mine = jobs.c.stage == stage, in_values(connection, jobs.c.subject_id, subjects)
        for row in connection.execute(select(jobs).where(*mine).with_for_update()).mappings():
            found[_key(dict(row))] = dict(row)
    return found
