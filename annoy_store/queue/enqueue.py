"""Enqueues jobs: inserts the jobs that the stages select and that are missing.

Decisions
- A stage's SELECT is used restricted to the rows just written, in the transaction that writes
  them (`enqueue_new`), and unrestricted behind a watermark, when a run starts and before it ends
  (`enqueue_all`). So a stage added later, a raised policy or a row committed late by another
  transaction is found without any bookkeeping, and the cost is that of the new rows only.
- A subject with a job under any variant is not enqueued again: an upgrade never spends by itself.
  `enqueue_again` enqueues all selected subjects under the active variants, on request.
- The watermark's scope is the stage's version and its `rescan_on`: when these change, old rows are
  examined again.
- A watermark never passes a row that may still be committed. PostgreSQL assigns ids before the
  commit, so the highest id of a table counts once every transaction has ended that was writing
  to it when that id was seen (`commit_horizons`).
- When a row that was passed is selected because of a new row of another table (a turn that comes
  after its answer), the writer of that row resets the watermark (`rewind_watermark`). A transaction
  that read it before does not move it.
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
    connection: Connection, agenda: StagePlan, touched: Mapping[str, Sequence[int]]
) -> Counter[str]:
    """Enqueue the jobs that new rows make, restricted to those rows.

    Args:
        connection: the write transaction that inserted the rows.
        agenda: the stages, their partitions and the policy.
        touched: ids of the rows by table name.

    Returns:
        The number of new jobs per stage; the caller adds them to the job counters.
    """
    entered: Counter[str] = Counter()
    for stage in agenda.stages.values():
        if ids := touched.get(stage.trigger.table.name):
            wanted = jobs_of_rows(stage, agenda.policy, partition_keys(agenda, stage))
            n = insert_from(connection, jobs, wanted, {"watched": sorted(set(ids))})
            entered[stage.name] += n
    return entered


def enqueue_all(
    connection: Connection, agenda: StagePlan, worker_id: int = NO_WORKER
) -> Counter[str]:
    """Enqueue every job that is selected and missing, above each stage's watermark.

    Args:
        connection: a write transaction.
        agenda: the stages, their partitions and the policy.
        worker_id: the worker whose counters take the changes.

    Returns:
        The number of new jobs per stage.
    """
    entered, more = enqueue_page(connection, agenda, worker_id)
    while more:
        again, more = enqueue_page(connection, agenda, worker_id)
        entered += again
    return entered


def enqueue_page(
    connection: Connection, agenda: StagePlan, worker_id: int = NO_WORKER, page: int = PAGE_ROWS
) -> tuple[Counter[str], bool]:
    """Do one page of `enqueue_all`.

    Args:
        connection: a write transaction.
        agenda: the stages, their partitions and the policy.
        worker_id: the worker whose counters take the changes.
        page: the most trigger rows of each stage to examine.

    Returns:
        The number of new jobs per stage, and whether rows are left to examine.
    """
    move_to_active_variant(connection, agenda, worker_id)
    entered: Counter[str] = Counter()
    new: Counter[str] = Counter()
    more = False
    for stage in agenda.stages.values():
        upto = advance_commit_horizon(connection, stage.trigger.table)
        mark = read_watermark(connection, stage, agenda.policy)
        if mark == 0 and stage.rescan_on:
            entered[stage.name] += requeue_unwanted(connection, stage, worker_id)
        last = upto - mark <= page
        wanted = jobs_between(stage, agenda.policy, partition_keys(agenda, stage), not last)
        bounds = {"above": mark} if last else {"above": mark, "to": mark + page}
        new[stage.name] += insert_from(connection, jobs, wanted, bounds)
        move_watermark(connection, stage, agenda.policy, mark, upto if last else mark + page)
        more = more or not last
    add_to_counters(connection, worker_id, {(name, "pending"): n for name, n in new.items()})
    entered.update(new)
    return entered, more


def count_wanted(connection: Connection, stage: Stage, policy: Policy) -> int:
    """Return how many jobs `enqueue_all` would insert for a stage; writes nothing.

    Args:
        connection: A transaction that reads.
        stage: The stage.
        policy: The policy to count under; it need not be the store's.
    """
    if not _selects(connection, stage, policy):
        return 0
    wanted = (
        missing_subjects(stage, policy)
        .where(_above_watermark(connection, stage, policy))
        .subquery()
    )
    return int(connection.scalar(select(func.count()).select_from(wanted)) or 0)


def _selects(connection: Connection, stage: Stage, policy: Policy) -> bool:
    """Whether a stage selects anything: that of a task that is not enabled does not."""
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
    wants, subject = stage.select(policy), subject_column(stage, policy)
    taken = has_job(stage, subject)
    each = (column.label(f"by_{i}") for i, column in enumerate(columns))
    chosen = wants.with_only_columns(*each, subject.label("n"), maintain_column_froms=True)
    found = (
        chosen.where(_above_watermark(connection, stage, policy), ~taken).distinct().subquery().c
    )
    keys = [found[f"by_{i}"] for i in range(len(columns))]
    rows = connection.execute(select(*keys, func.count()).group_by(*keys))
    return {tuple(row[:-1]): int(row[-1]) for row in rows}


def _above_watermark(connection: Connection, stage: Stage, policy: Policy) -> ColumnElement[bool]:
    """The condition that a trigger row lies above the watermark.

    Where that is every row, a range of ids would only keep the database from counting in an index,
    which is far smaller than a table of texts.
    """
    mark = read_watermark(connection, stage, policy)
    return stage.trigger > mark if mark else true()


def count_missed(connection: Connection, stage: Stage, policy: Policy) -> tuple[int, int | None]:
    """How many subjects a stage wants, has passed and has no job of, and one of them.

    Args:
        connection: A transaction that reads.
        stage: The stage.
        policy: The policy of the store.
    """
    if not _selects(connection, stage, policy):
        return 0, None
    found = missing_subjects(stage, policy).where(
        stage.trigger <= read_watermark(connection, stage, policy)
    )
    key = found.subquery().c.subject_id
    n, example = connection.execute(select(func.count(key), func.min(key))).one()
    return int(n), example


def enqueue_again(
    connection: Connection,
    agenda: StagePlan,
    stage: Stage,
    subjects: Sequence[int] | None = None,
    limit: int | None = None,
) -> int:
    """Enqueue selected subjects under the active variants, also those done under another.

    Args:
        connection: a write transaction.
        agenda: the stages, their partitions and the policy.
        stage: the stage.
        subjects: ids of the subjects; None for all.
        limit: the most jobs, by subject id; None for no limit.

    Returns:
        The number of new jobs.
    """
    wanted = _wanted_again(
        connection, stage, agenda.policy, agenda.partitions[stage.key], subjects
    ).limit(limit)
    entered = insert_from(connection, jobs, wanted)
    add_to_counters(connection, NO_WORKER, {(stage.name, "pending"): entered})
    return entered


def count_enqueue_again(
    connection: Connection,
    stage: Stage,
    policy: Policy,
    cases: Sequence[Partition],
    subjects: Sequence[int] | None = None,
) -> int:
    """Return how many jobs `enqueue_again` would insert; writes nothing.

    Args:
        connection: the transaction to read in.
        stage: the stage.
        policy: the policy to select by.
        cases: the partitions; one whose variant does not exist yet has an id that no job has.
        subjects: ids of the subjects; None for all.
    """
    wanted = _wanted_again(connection, stage, policy, cases, subjects).subquery()
    return int(connection.scalar(select(func.count()).select_from(wanted)) or 0)


def _wanted_again(
    connection: Connection,
    stage: Stage,
    policy: Policy,
    cases: Sequence[Partition],
    subjects: Sequence[int] | None,
) -> Select[Any]:
    """The selected subjects without a job under the active variant that they belong to."""
    keys = tuple(map(partition_key, cases))
    wants = stage.select(policy)
    subject, variant = selected_column(wants, "subject_id"), variant_of_subject(wants, keys)
    taken = exists().where(
        jobs.c.stage == stage.name, jobs.c.subject_id == subject, jobs.c.variant_id == variant
    )
    chosen = jobs_of_subjects(stage, policy, keys).where(~taken).order_by(subject)
    return chosen if subjects is None else chosen.where(in_values(connection, subject, subjects))
