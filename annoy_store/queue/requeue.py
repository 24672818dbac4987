"""Requeueing: makes ended jobs pending again, for `annoy retry`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, literal_column, or_, select, update

from annoy_store.db.tables import jobs
from annoy_store.queue.counters import NO_WORKER, add_to_counters
from annoy_store.queue.jobs import IN_SUBJECTS


def requeue(
    connection: Connection,
    stage: str | None = None,
    states: Sequence[str] = ("failed",),
    like: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
) -> Counter[str]:
    """Make ended jobs pending again; their attempts and crashes are counted from 0.

    Args:
        connection: a write transaction.
        stage: only jobs of this stage.
        states: only jobs in these states.
        like: only jobs whose reason or detail contains this text.
        limit: the maximum number of jobs to requeue, by stage and subject.
        dry_run: count only, and change no job.

    Returns:
        The number of jobs per stage.
    """
    conditions: list[ColumnElement[bool]] = [
        jobs.c.state.in_([literal_column(f"'{s}'") for s in states])
    ]
    if stage is not None:
        conditions.append(jobs.c.stage == stage)
    if like is not None:
        text = f"%{like}%"
        conditions.append(or_(jobs.c.reason.like(text), jobs.c.detail.like(text)))
    chosen = (
        select(jobs.c.stage, jobs.c.subject_id, jobs.c.variant_id, jobs.c.state)
        .where(*conditions)
        .with_for_update()
    )
    rows = connection.execute(chosen.order_by(jobs.c.stage, jobs.c.subject_id).limit(limit)).all()
    if not dry_run:
        _make_pending(connection, rows)
    return Counter(row.stage for row in rows)


_REQUEUE = (
    update(jobs)
    .where(IN_SUBJECTS)
    .values(
        state=literal_column("'pending'"),
        worker_id=None,
        reason=None,
        detail=None,
        due_at=None,
        attempts=0,
        crashes=0,
    )
)


def _make_pending(connection: Connection, rows: Sequence[Any]) -> None:
    deltas: Counter[tuple[str, str]] = Counter()
    subjects: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row in rows:
        deltas[row.stage, row.state] -= 1
        deltas[row.stage, "pending"] += 1
        subjects[row.stage, row.variant_id].append(row.subject_id)
    for (stage, variant_id), subject_ids in subjects.items():
        partition = {"of_stage": stage, "of_variant": variant_id}
        for start in range(0, len(subject_ids), 5000):
            page = subject_ids[start : start + 5000]
            connection.execute(_REQUEUE, {**partition, "of_subjects": page})
    add_to_counters(connection, NO_WORKER, deltas)
