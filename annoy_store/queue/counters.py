"""The job counters: how many jobs are in each state, without scanning the jobs.

Decision: every transaction that changes the state of jobs adds the differences to the rows of its
own worker, so workers do not wait for each other. The sum over all workers is the funnel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection, and_, delete, func, select

from annoy_store.db.sql import increment
from annoy_store.db.tables import job_counters, workers

NO_WORKER = 0  # the worker id of changes made by commands
Deltas = Mapping[tuple[str, str], int]


def add_to_counters(connection: Connection, worker_id: int, deltas: Deltas) -> None:
    """Add differences to the counters of a worker.

    Args:
        connection: a write transaction.
        worker_id: the worker, or `NO_WORKER`.
        deltas: jobs that entered minus jobs that left, by (stage, state).
    """
    rows = [
        {"worker_id": worker_id, "stage": stage, "state": state, "n": n}
        for (stage, state), n in sorted(deltas.items())
        if n
    ]
    increment(connection, job_counters, rows)


def state_change(stages: Mapping[str, int], before: str, after: str) -> dict[tuple[str, str], int]:
    """Return the differences when jobs change their state.

    Args:
        stages: the number of jobs by stage.
        before: their previous state.
        after: their new state.
    """
    out = {(stage, before): -n for stage, n in stages.items()}
    return out | {(stage, after): n for stage, n in stages.items()}


def funnel(connection: Connection) -> dict[str, dict[str, int]]:
    """Return the number of jobs by stage and state."""
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
    """Move the counters of ended workers to `NO_WORKER`, so that the table stays small.

    Only what this transaction deleted is added, so concurrent calls count nothing twice.
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
