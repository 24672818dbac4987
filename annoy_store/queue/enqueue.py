"""Enqueues jobs: inserts the missing jobs of the subjects that the stages select.

Decisions
- A stage's SELECT is executed for the rows just written, in the transaction that writes them
  (`enqueue_new`), and for all rows above a watermark (watermarks.py), when a run starts and before
  it ends (`enqueue_all`). So the jobs of a stage added later, of a raised policy or of a row that
  another transaction committed late are found, at the cost of the new rows only.
- A subject with a job under any variant is not enqueued again: an upgrade alone causes no cost.
  `enqueue_again` enqueues all selected subjects under the active variants, on request.
- When a new row of another table makes a row below the watermark selected (a turn inserted after
  its answer), its writer resets the watermark (`rewind_watermark`). A transaction that read the
  old value does not move it.
- Statements are built once per stage and policy: building costs more than running them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    exists,
    func,
    select,
    true,
)

from annoy_store.config import Policy
from annoy_store.db.sql import (
    in_values,
    insert_from,
)
from annoy_store.db.tables import jobs
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import NO_WORKER, add_to_counters
from annoy_store.queue.reassign import move_to_active_variant, requeue_unwanted
from annoy_store.queue.selection import (
    has_job,
    jobs_between,
    jobs_of_rows,
    jobs_of_subjects,
    missing_subjects,
    partition_key,
    partition_keys,
    selected_column,
    subject_column,
    variant_of_subject,
)
from annoy_store.queue.variants import Partition, StagePlan
from annoy_store.queue.watermarks import advance_commit_horizon, move_watermark, read_watermark

PAGE_ROWS = 100_000  # trigger rows that one transaction examines


def enqueue_new(
    connection: Connection, plan: StagePlan, written: Mapping[str, Sequence[int]]
) -> Counter[str]:
    """Enqueue the missing jobs of new rows.

    Args:
        connection: the write transaction that inserted the rows.
        plan: the stages, their partitions and the policy.
        written: ids of the rows by table name.

    Returns:
        The number of new jobs per stage; the caller adds them to the job counters.
    """
    enqueued: Counter[str] = Counter()
    for stage in plan.stages.values():
        if ids := written.get(stage.trigger.table.name):
            wanted = jobs_of_rows(stage, plan.policy, partition_keys(plan, stage))
            n = insert_from(connection, jobs, wanted, {"trigger_ids": sorted(set(ids))})
            enqueued[stage.name] += n
    return enqueued


def enqueue_all(
    connection: Connection, plan: StagePlan, worker_id: int = NO_WORKER
) -> Counter[str]:
    """Enqueue every missing job above each stage's watermark.

    Args:
        connection: a write transaction.
        plan: the stages, their partitions and the policy.
        worker_id: the worker whose counters record the changes.

    Returns:
        The number of new jobs per stage.
    """
    enqueued, more = enqueue_page(connection, plan, worker_id)
    while more:
        again, more = enqueue_page(connection, plan, worker_id)
        enqueued += again
    return enqueued


def enqueue_page(
    connection: Connection, plan: StagePlan, worker_id: int = NO_WORKER, page: int = PAGE_ROWS
) -> tuple[Counter[str], bool]:
    """Do one page of `enqueue_all`.

    Args:
        connection: a write transaction.
        plan: the stages, their partitions and the policy.
        worker_id: the worker whose counters record the changes.
        page: the maximum number of trigger rows of each stage to examine.

    Returns:
        The number of new jobs per stage, and whether rows are left to examine.
    """
    move_to_active_variant(connection, plan, worker_id)
    enqueued: Counter[str] = Counter()
    new: Counter[str] = Counter()
    more = False
    for stage in plan.stages.values():
        upto = advance_commit_horizon(connection, stage.trigger.table)
        mark = read_watermark(connection, stage, plan.policy)
        if mark == 0:
            enqueued[stage.name] += requeue_unwanted(connection, stage, worker_id)
        last = upto - mark <= page
        wanted = jobs_between(stage, plan.policy, partition_keys(plan, stage), not last)
        bounds = {"above": mark} if last else {"above": mark, "to": mark + page}
        new[stage.name] += insert_from(connection, jobs, wanted, bounds)
        move_watermark(connection, stage, plan.policy, mark, upto if last else mark + page)
        more = more or not last
    add_to_counters(connection, worker_id, {(name, "pending"): n for name, n in new.items()})
    enqueued.update(new)
    return enqueued, more


def count_wanted(connection: Connection, stage: Stage, policy: Policy) -> int:
    """Return how many jobs `enqueue_all` would insert for a stage; writes nothing.

    Args:
        connection: A transaction that reads.
        stage: The stage.
        policy: The policy to count under; it need not be the store's.
    """
    if not is_enabled(connection, stage, policy):
        return 0
    wanted = (
        missing_subjects(stage, policy)
        .where(_above_watermark(connection, stage, policy))
        .subquery()
    )
    return int(connection.scalar(select(func.count()).select_from(wanted)) or 0)


def is_enabled(connection: Connection, stage: Stage, policy: Policy) -> bool:
    """Return whether workers claim jobs of a stage; those of a disabled task stay open.

    Args:
        connection: A transaction that reads.
        stage: The stage.
        policy: The policy to read `tasks` from; it need not be the store's.
    """
    return stage.partitions is None or bool(stage.partitions(connection, policy))


def count_wanted_by(
    connection: Connection, stage: Stage, policy: Policy, *columns: ColumnElement[Any]
) -> dict[tuple[Any, ...], int]:
    """Return how many jobs `enqueue_all` would insert for a stage, by columns of its SELECT.

    Args:
        connection: A transaction that reads.
        stage: The stage.
        policy: The policy to count under.
        *columns: Columns in the FROM of the stage's SELECT.
    """
    selected, subject = stage.select(policy), subject_column(stage, policy)
    taken = has_job(stage, subject)
    each = (column.label(f"by_{i}") for i, column in enumerate(columns))
    chosen = selected.with_only_columns(*each, subject.label("n"), maintain_column_froms=True)
    found = (
        chosen.where(_above_watermark(connection, stage, policy), ~taken).distinct().subquery().c
    )
    keys = [found[f"by_{i}"] for i in range(len(columns))]
    rows = connection.execute(select(*keys, func.count()).group_by(*keys))
    return {tuple(row[:-1]): int(row[-1]) for row in rows}


def _above_watermark(connection: Connection, stage: Stage, policy: Policy) -> ColumnElement[bool]:
    """The condition that a trigger row lies above the watermark.

    Without a watermark there is no range of ids, so that the database can count in an index, which
    is far smaller than a table of texts.
    """
    mark = read_watermark(connection, stage, policy)
    return stage.trigger > mark if mark else true()


def count_missed(connection: Connection, stage: Stage, policy: Policy) -> tuple[int, int | None]:
    """Return how many selected subjects below the watermark have no job, and an example.

    Args:
        connection: A transaction that reads.
        stage: The stage.
        policy: The policy of the store.
    """
    if not is_enabled(connection, stage, policy):
        return 0, None
    found = missing_subjects(stage, policy).where(
        stage.trigger <= read_watermark(connection, stage, policy)
    )
    key = found.subquery().c.subject_id
    n, example = connection.execute(select(func.count(key), func.min(key))).one()
    return int(n), example


def enqueue_again(
    connection: Connection,
    plan: StagePlan,
    stage: Stage,
    subjects: Sequence[int] | None = None,
    limit: int | None = None,
) -> int:
    """Enqueue selected subjects under the active variants, also those with a job of another.

    Args:
        connection: a write transaction.
        plan: the stages, their partitions and the policy.
        stage: the stage.
        subjects: ids of the subjects; None for all.
        limit: the maximum number of jobs, by subject id; None for no limit.

    Returns:
        The number of new jobs.
    """
    wanted = _wanted_again(
        connection, stage, plan.policy, plan.partitions[stage.key], subjects
    ).limit(limit)
    enqueued = insert_from(connection, jobs, wanted)
    add_to_counters(connection, NO_WORKER, {(stage.name, "pending"): enqueued})
    return enqueued


def count_enqueue_again(
    connection: Connection,
    stage: Stage,
    policy: Policy,
    partitions: Sequence[Partition],
    subjects: Sequence[int] | None = None,
) -> int:
    """Return how many jobs `enqueue_again` would insert; writes nothing.

    Args:
        connection: the transaction to read in.
        stage: the stage.
        policy: the policy to select by.
        partitions: the partitions; one whose variant does not exist yet has an id that no job has.
        subjects: ids of the subjects; None for all.
    """
    wanted = _wanted_again(connection, stage, policy, partitions, subjects).subquery()
    return int(connection.scalar(select(func.count()).select_from(wanted)) or 0)


def _wanted_again(
    connection: Connection,
    stage: Stage,
    policy: Policy,
    partitions: Sequence[Partition],
    subjects: Sequence[int] | None,
) -> Select[Any]:
    """The selected subjects without a job under the active variant that they belong to."""
    keys = tuple(map(partition_key, partitions))
    selected = stage.select(policy)
    subject, variant = selected_column(selected, "subject_id"), variant_of_subject(selected, keys)
    taken = exists().where(
        jobs.c.stage == stage.name, jobs.c.subject_id == subject, jobs.c.variant_id == variant
    )
    chosen = jobs_of_subjects(stage, policy, keys).where(~taken).order_by(subject)
    return chosen if subjects is None else chosen.where(in_values(connection, subject, subjects))
