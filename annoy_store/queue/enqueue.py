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
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    select,
    true,
    update,
)

from annoy_store.config import Policy
from annoy_store.db.sql import (
    committed_upto,
    in_parameter,
    in_values,
    insert_from,
    open_writers,
    upsert,
)
from annoy_store.db.tables import commit_horizons, jobs, variants, watermarks
from annoy_store.hashing import digest
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import NO_WORKER, add_to_counters
from annoy_store.queue.reassign import move_to_active_variant, requeue_unwanted
from annoy_store.queue.variants import Partition, StagePlan

PAGE_ROWS = 100_000  # trigger rows that one transaction examines
_PartitionKey = tuple[int, tuple[tuple[str, Any], ...]]  # a case that can be a key


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
            wanted = _jobs_of_rows(stage, agenda.policy, _partition_keys(agenda, stage))
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
        upto = _advance_horizon(connection, stage.trigger.table)
        mark = _watermark(connection, stage, agenda.policy)
        if mark == 0 and stage.rescan_on:
            entered[stage.name] += requeue_unwanted(connection, stage, worker_id)
        last = upto - mark <= page
        wanted = _jobs_between(stage, agenda.policy, _partition_keys(agenda, stage), not last)
        bounds = {"above": mark} if last else {"above": mark, "to": mark + page}
        new[stage.name] += insert_from(connection, jobs, wanted, bounds)
        _move_watermark(connection, stage, agenda.policy, mark, upto if last else mark + page)
        more = more or not last
    add_to_counters(connection, worker_id, {(name, "pending"): n for name, n in new.items()})
    entered.update(new)
    return entered, more


def count_wanted(connection: Connection, stage: Stage, policy: Policy) -> int:
    """Return how many jobs `enqueue_all` would insert for a stage; writes nothing."""
    if not _selects(connection, stage, policy):
        return 0
    wanted = _missing(stage, policy).where(_above_watermark(connection, stage, policy)).subquery()
    return int(connection.scalar(select(func.count()).select_from(wanted)) or 0)


def _selects(connection: Connection, stage: Stage, policy: Policy) -> bool:
    """Whether a stage selects anything: that of a task that is not enabled does not."""
    return stage.partitions is None or bool(stage.partitions(connection, policy))


def count_wanted_by(
    connection: Connection, stage: Stage, policy: Policy, *columns: ColumnElement[Any]
) -> dict[tuple[Any, ...], int]:
    """Return how many jobs `enqueue_all` would insert for a stage, by columns of its SELECT."""
    wants, subject = stage.select(policy), subject_column(stage, policy)
    taken = _has_job(stage, subject)
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
    mark = _watermark(connection, stage, policy)
    return stage.trigger > mark if mark else true()


def count_missed(connection: Connection, stage: Stage, policy: Policy) -> tuple[int, int | None]:
    """How many subjects a stage wants, has passed and has no job of, and one of them."""
    if not _selects(connection, stage, policy):
        return 0, None
    found = _missing(stage, policy).where(stage.trigger <= _watermark(connection, stage, policy))
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
    keys = tuple(map(_partition_key, cases))
    wants = stage.select(policy)
    subject, variant = _column(wants, "subject_id"), _variant(wants, keys)
    taken = exists().where(
        jobs.c.stage == stage.name, jobs.c.subject_id == subject, jobs.c.variant_id == variant
    )
    chosen = _as_jobs(stage, policy, keys).where(~taken).order_by(subject)
    return chosen if subjects is None else chosen.where(in_values(connection, subject, subjects))


# What a stage selects ------------------------------------------------------------------------


def subject_column(stage: Stage, policy: Policy) -> ColumnElement[int]:
    """Return the column that a stage's SELECT labels `subject_id`."""
    return _column(stage.select(policy), "subject_id")


def _column(wants: Select[Any], name: str) -> ColumnElement[Any]:
    column = wants.selected_columns[name]
    return getattr(column, "element", column)


def _has_job(stage: Stage, subject: ColumnElement[Any]) -> ColumnElement[bool]:
    """The subject has a job of the stage under any variant; of its task, if it has one."""
    mine = exists().where(jobs.c.stage == stage.name, jobs.c.subject_id == subject)
    if not stage.task:
        return mine
    of_task = select(variants.c.id).where(variants.c.task == stage.task)  # imported ones, too
    return mine.where(jobs.c.variant_id.in_(of_task))


def _missing(stage: Stage, policy: Policy) -> Select[Any]:
    """The selected subjects without a job under any variant."""
    wants = stage.select(policy)
    subject = _column(wants, "subject_id")
    taken = _has_job(stage, subject)
    chosen = wants.with_only_columns(subject.label("subject_id"), maintain_column_froms=True)
    return chosen.where(~taken).distinct()


@lru_cache(maxsize=64)
def _jobs_of_rows(stage: Stage, policy: Policy, cases: tuple[_PartitionKey, ...]) -> Select[Any]:
    """The missing jobs of the trigger rows `:watched`."""
    return _missing_jobs(stage, policy, cases, in_parameter(stage.trigger, "watched"))


@lru_cache(maxsize=64)
def _jobs_between(
    stage: Stage, policy: Policy, cases: tuple[_PartitionKey, ...], bounded: bool
) -> Select[Any]:
    """The missing jobs of the trigger rows above `:above`, if `bounded` up to `:to`."""
    within = stage.trigger > bindparam("above")
    if bounded:
        within = and_(within, stage.trigger <= bindparam("to"))
    return _missing_jobs(stage, policy, cases, within)


def _missing_jobs(
    stage: Stage, policy: Policy, cases: tuple[_PartitionKey, ...], within: ColumnElement[bool]
) -> Select[Any]:
    subject = subject_column(stage, policy)
    taken = _has_job(stage, subject)
    return _as_jobs(stage, policy, cases).where(within, ~taken)


def _as_jobs(stage: Stage, policy: Policy, cases: tuple[_PartitionKey, ...]) -> Select[Any]:
    """Every selected subject as a pending job of the partition that it belongs to."""
    wants = stage.select(policy)
    subject, variant = _column(wants, "subject_id"), _variant(wants, cases)
    columns = (
        literal(stage.name, Text).label("stage"),
        subject.label("subject_id"),
        variant.label("variant_id"),
        literal("pending", Text).label("state"),
    )
    chosen = wants.with_only_columns(*columns, maintain_column_froms=True)
    return chosen.where(variant.is_not(None)).distinct()


def _variant(wants: Select[Any], cases: tuple[_PartitionKey, ...]) -> ColumnElement[Any]:
    """The variant of the partition that a subject belongs to; null for a subject of none."""
    known = [
        (_narrowing(wants, columns), literal(key, BigInteger)) for key, columns in cases if columns
    ]
    if known:
        return case(*known)
    return literal(cases[0][0], BigInteger) if cases else literal_column("NULL", BigInteger)


def _narrowing(wants: Select[Any], only: tuple[tuple[str, Any], ...]) -> ColumnElement[bool]:
    return and_(*(_column(wants, name) == value for name, value in only))


def _partition_keys(agenda: StagePlan, stage: Stage) -> tuple[_PartitionKey, ...]:
    return tuple(map(_partition_key, agenda.partitions[stage.key]))


def _partition_key(known: Partition) -> _PartitionKey:
    """The partition as a key; its task tells nothing, for a stage of one task selects no other."""
    columns = ((name, value) for name, value in known.columns.items() if name != "task")
    return known.variant_id, tuple(sorted(columns))


# Watermarks ---------------------------------------------------------------------------------


def _scope(stage: Stage, policy: Policy) -> str:
    values = {key: getattr(policy, key) for key in stage.rescan_on}
    return digest("scope", stage.version, values, *filter(None, [stage.task]))


def _watermark(connection: Connection, stage: Stage, policy: Policy) -> int:
    chosen = select(watermarks.c.upto).where(
        watermarks.c.stage == stage.name, watermarks.c.scope == _scope(stage, policy)
    )
    return int(connection.scalar(chosen) or 0)


def _move_watermark(
    connection: Connection, stage: Stage, policy: Policy, mark: int, upto: int
) -> None:
    if upto <= mark:
        return
    row = {"stage": stage.name, "scope": _scope(stage, policy), "upto": upto}
    if not mark:
        upsert(connection, watermarks, row)
        return
    same = and_(*(watermarks.c[key] == row[key] for key in ("stage", "scope")))
    unmoved = and_(same, watermarks.c.upto == mark)
    connection.execute(update(watermarks).where(unmoved).values(upto=upto))


def rewind_watermark(
    connection: Connection, stages: Iterable[Stage], table: Table, first: int
) -> None:
    """Let the stages triggered by a table examine its rows again.

    Args:
        connection: a write transaction.
        stages: the stages.
        table: the table whose rows are to be examined again.
        first: the id of the first of them.
    """
    watching = [stage.name for stage in stages if stage.trigger.table is table]
    passed = and_(watermarks.c.stage.in_(watching), watermarks.c.upto >= first)
    connection.execute(update(watermarks).where(passed).values(upto=first - 1))


def _advance_horizon(connection: Connection, table: Table) -> int:
    """Determine, and store, up to which id every row of a table is committed."""
    known = connection.execute(
        select(commit_horizons).where(commit_horizons.c.table_name == table.name)
    ).first()
    upto, seen, waited = (known.upto, known.seen, known.writers) if known else (0, 0, "")
    newest = int(connection.scalar(select(func.max(table.c.id))) or 0)
    writers = open_writers(connection, table)  # after `newest`: who took a lower id is seen here
    if not writers & set(waited.split()):
        upto, seen, waited = seen, newest, " ".join(sorted(writers))
    if not writers:
        upto = newest
    row = {"table_name": table.name, "upto": upto, "seen": seen, "writers": waited}
    if known is None or tuple(row.values()) != tuple(known):
        upsert(connection, commit_horizons, row)
    return int(upto)


__all__ = [
    "committed_upto",
    "count_enqueue_again",
    "count_missed",
    "count_wanted",
    "count_wanted_by",
    "enqueue_again",
    "enqueue_all",
    "enqueue_new",
    "enqueue_page",
    "rewind_watermark",
    "subject_column",
]
