"""The counters: how many jobs are in each state, without ever scanning them.

Every transaction that moves jobs adds its differences to rows of its own worker, so workers do
not wait for each other; the sum over all workers is the funnel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection, and_, delete, func, select

from annoy_store.db.sql import increment
from annoy_store.db.tables import job_counters, workers

NO_WORKER = 0  # the worker that commands count under
Deltas = Mapping[tuple[str, str], int]


def add_to_counters(connection: Connection, worker_id: int, deltas: Deltas) -> None:
    """Add `deltas` of jobs by (stage, state) to a worker's counters."""
    rows = [
        {"worker_id": worker_id, "stage": stage, "state": state, "n": n}
        for (stage, state), n in sorted(deltas.items())
        if n
    ]
    increment(connection, job_counters, rows)


def state_change(stages: Mapping[str, int], before: str, after: str) -> dict[tuple[str, str], int]:
    """The differences when `n` jobs of each stage go from one state to another."""
    out = {(stage, before): -n for stage, n in stages.items()}
    return out | {(stage, after): n for stage, n in stages.items()}


def funnel(connection: Connection) -> dict[str, dict[str, int]]:
    """Jobs per stage and state."""
    rows = connection.execute(
        select(job_counters.c.stage, job_counters.c.state, func.sum(job_counters.c.n))
        .group_by(job_counters.c.stage, job_counters.c.state)
        .having(func.sum(job_counters.c.n) != 0)
    )
    result: dict[str, dict[str, int]] = {}
    for stage, state, n in rows:
        result.setdefault(stage, {})[state] = int(n)
    return result


def fold_counters(connection: Connection) -> None:
    """Add the counters of workers that are gone to those of nobody, so that they stay few.

    What is added is what this transaction deleted: two that fold at once add nothing twice.
    """
    alive = select(workers.c.id).where(workers.c.alive == 1)
    gone = and_(job_counters.c.worker_id != NO_WORKER, job_counters.c.worker_id.not_in(alive))
    deleted = connection.execute(
        delete(job_counters)
        .where(gone)
        .returning(job_counters.c.stage, job_counters.c.state, job_counters.c.n)
    )
    sums: Counter[tuple[str, str]] = Counter()
    for stage, state, n in deleted:
        sums[stage, state] += n
    add_to_counters(connection, NO_WORKER, sums)
