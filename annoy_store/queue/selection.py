"""Builds the statements that turn a stage's SELECT into jobs.

Decision: they are built once per stage and policy: building them costs more than running them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    case,
    exists,
    literal,
    literal_column,
    select,
)

from annoy_store.config import Policy
from annoy_store.db.sql import (
    in_parameter,
)
from annoy_store.db.tables import jobs, variants
from annoy_store.interfaces import Stage
from annoy_store.queue.variants import Partition, StagePlan

PartitionKey = tuple[int, tuple[tuple[str, Any], ...]]  # a hashable partition


def subject_column(stage: Stage, policy: Policy) -> ColumnElement[int]:
    """Return the column that a stage's SELECT labels `subject_id`.

    Args:
        stage: The stage.
        policy: The policy of the store.
    """
    return selected_column(stage.select(policy), "subject_id")


def selected_column(selected: Select[Any], name: str) -> ColumnElement[Any]:
    """Return the column that a SELECT labels `name`, without the label."""
    column = selected.selected_columns[name]
    return getattr(column, "element", column)


def has_job(stage: Stage, subject: ColumnElement[Any]) -> ColumnElement[bool]:
    """The subject has a job of the stage under any variant; of its task, if it has one."""
    mine = exists().where(jobs.c.stage == stage.name, jobs.c.subject_id == subject)
    if not stage.task:
        return mine
    of_task = select(variants.c.id).where(variants.c.task == stage.task)  # imported ones, too
    return mine.where(jobs.c.variant_id.in_(of_task))


def missing_subjects(stage: Stage, policy: Policy) -> Select[Any]:
    """The selected subjects without a job under any variant."""
    selected = stage.select(policy)
    subject = selected_column(selected, "subject_id")
    taken = has_job(stage, subject)
    chosen = selected.with_only_columns(subject.label("subject_id"), maintain_column_froms=True)
    return chosen.where(~taken).distinct()


@lru_cache(maxsize=64)
def jobs_of_rows(stage: Stage, policy: Policy, keys: tuple[PartitionKey, ...]) -> Select[Any]:
    """The missing jobs of the trigger rows `:trigger_ids`."""
    return _missing_jobs(stage, policy, keys, in_parameter(stage.trigger, "trigger_ids"))


@lru_cache(maxsize=64)
def jobs_between(
    stage: Stage, policy: Policy, keys: tuple[PartitionKey, ...], bounded: bool
) -> Select[Any]:
    """The missing jobs of the trigger rows above `:above`, if `bounded` up to `:to`."""
    within = stage.trigger > bindparam("above")
    if bounded:
        within = and_(within, stage.trigger <= bindparam("to"))
    return _missing_jobs(stage, policy, keys, within)


def _missing_jobs(
    stage: Stage, policy: Policy, keys: tuple[PartitionKey, ...], within: ColumnElement[bool]
) -> Select[Any]:
    subject = subject_column(stage, policy)
    taken = has_job(stage, subject)
    return jobs_of_subjects(stage, policy, keys).where(within, ~taken)


def jobs_of_subjects(stage: Stage, policy: Policy, keys: tuple[PartitionKey, ...]) -> Select[Any]:
    """Every selected subject as a pending job of the partition that it belongs to."""
    selected = stage.select(policy)
    subject, variant = selected_column(selected, "subject_id"), variant_of_subject(selected, keys)
    columns = (
        literal(stage.name, Text).label("stage"),
        subject.label("subject_id"),
        variant.label("variant_id"),
        literal("pending", Text).label("state"),
    )
    chosen = selected.with_only_columns(*columns, maintain_column_froms=True)
    return chosen.where(variant.is_not(None)).distinct()


def variant_of_subject(selected: Select[Any], keys: tuple[PartitionKey, ...]) -> ColumnElement[Any]:
    """The variant of the partition that a subject belongs to; null if there is none."""
    known = [
        (_narrowing(selected, columns), literal(key, BigInteger))
        for key, columns in keys
        if columns
    ]
    if known:
        return case(*known)
    return literal(keys[0][0], BigInteger) if keys else literal_column("NULL", BigInteger)


def _narrowing(selected: Select[Any], only: tuple[tuple[str, Any], ...]) -> ColumnElement[bool]:
    return and_(*(selected_column(selected, name) == value for name, value in only))


def partition_keys(plan: StagePlan, stage: Stage) -> tuple[PartitionKey, ...]:
    """Return the keys of the partitions of a stage."""
    return tuple(map(partition_key, plan.partitions[stage.key]))


def partition_key(partition: Partition) -> PartitionKey:
    """Return a partition as a key, without its task: a stage of one task selects no other."""
    columns = ((name, value) for name, value in partition.columns.items() if name != "task")
    return partition.variant_id, tuple(sorted(columns))
