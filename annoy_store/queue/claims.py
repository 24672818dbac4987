"""Claims jobs for a worker, and loads the rows that they read.

Decisions
- A claim adds one to the attempts of a job: (worker, attempts) is its fencing token.
- Suspects (jobs whose last worker died) are claimed by a query of their own, so that they can run
  alone.
- SKIP LOCKED and a keyset cursor: workers do not wait for each other, and a claim costs the same
  however many jobs have ended.
- The statements are built once, with parameters: building them costs more than running them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from annoy_store.config import Policy
from annoy_store.db.sql import clock, in_parameter, in_subquery, unindexed
from annoy_store.db.tables import jobs
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import add_to_counters, state_change
from annoy_store.queue.jobs import IN_BATCH, IN_PARTITION, Claim, Tally, in_state, tally_or_count
from annoy_store.queue.selection import subject_column
from annoy_store.queue.variants import StagePlan

CURSOR_START = (-32768, -1)  # before every (priority, subject)


def _claim_statement(
    state: str, order: Sequence[ColumnElement[Any]], *where: ColumnElement[bool]
) -> Any:
    chosen = (
        select(jobs.c.subject_id)
        .where(IN_PARTITION, in_state(state), *where)
        .order_by(*order)
        .limit(bindparam("at_most"))
        .with_for_update(skip_locked=True)
    )
    return (
        update(jobs)
        .where(IN_PARTITION, in_subquery(jobs.c.subject_id, chosen))
        .values(
            state=literal_column("'claimed'"),
            worker_id=bindparam("by_worker"),
            attempts=jobs.c.attempts + literal_column("1"),
            claimed_at=clock(),
        )
        .returning(jobs.c.subject_id, jobs.c.attempts, jobs.c.priority)
    )


_CURSOR_COLUMNS = (jobs.c.priority, jobs.c.subject_id)
_AFTER_CURSOR = tuple_(*_CURSOR_COLUMNS) > tuple_(
    bindparam("after_priority"), bindparam("after_subject")
)
_CLAIM_PENDING = _claim_statement("pending", _CURSOR_COLUMNS, _AFTER_CURSOR)
_CLAIM_SUSPECTS = _claim_statement("suspect", (jobs.c.subject_id,))


def claim(
    connection: Connection,
    worker_id: int,
    stage: str,
    variant_id: int,
    limit: int,
    after: tuple[int, int] = CURSOR_START,
    tally: Tally | None = None,
) -> list[Claim]:
    """Claim pending jobs of one variant.

    Args:
        connection: a write transaction.
        worker_id: the worker that claims.
        stage: the name of the stage.
        variant_id: the variant of the stage.
        limit: the maximum number of jobs to claim.
        after: (priority, subject id) after which to start.
        tally: collects the changes of the job counters; without it they are written at once.

    Returns:
        The claims, ordered by priority and subject.
    """
    parameters = {
        "of_stage": stage,
        "of_variant": variant_id,
        "at_most": limit,
        "by_worker": worker_id,
    }
    parameters |= {"after_priority": after[0], "after_subject": after[1]}
    return _claimed(connection, _CLAIM_PENDING, parameters, "pending", tally)


def claim_suspects(
    connection: Connection,
    worker_id: int,
    stage: str,
    variant_id: int,
    limit: int,
    tally: Tally | None = None,
) -> list[Claim]:
    """Claim jobs whose last worker died; arguments and result as in `claim`."""
    parameters = {
        "of_stage": stage,
        "of_variant": variant_id,
        "at_most": limit,
        "by_worker": worker_id,
    }
    return _claimed(connection, _CLAIM_SUSPECTS, parameters, "suspect", tally)


_CLAIM_BATCHED = (
    update(jobs)
    .where(
        jobs.c.stage == bindparam("of_stage"),
        in_parameter(jobs.c.subject_id, "of_subjects"),
        or_(
            unindexed(jobs.c.state) == literal_column("'pending'"),
            and_(
                unindexed(jobs.c.state) == literal_column("'deferred'"),
                jobs.c.reason == literal_column(f"'{IN_BATCH}'"),
            ),
        ),
    )
    .values(
        state=literal_column("'claimed'"),
        worker_id=bindparam("by_worker"),
        attempts=jobs.c.attempts + literal_column("1"),
        claimed_at=clock(),
    )
    .returning(
        jobs.c.subject_id, jobs.c.variant_id, jobs.c.attempts, jobs.c.priority, jobs.c.reason
    )
)


def claim_batched(
    connection: Connection, worker_id: int, stage: str, subjects: Sequence[int]
) -> list[Claim]:
    """Claim the jobs of subjects that were in a batch, including those that are pending again.

    Args:
        connection: a write transaction.
        worker_id: the worker that claims.
        stage: the name of the stage.
        subjects: ids of the subjects.

    Returns:
        One claim per job that was found, of any variant.
    """
    where = {"of_stage": stage, "of_subjects": list(subjects), "by_worker": worker_id}
    claimed = connection.execute(_CLAIM_BATCHED, where).all()
    deferred = sum(row.reason == IN_BATCH for row in claimed)
    add_to_counters(connection, worker_id, state_change({stage: deferred}, "deferred", "claimed"))
    add_to_counters(
        connection, worker_id, state_change({stage: len(claimed) - deferred}, "pending", "claimed")
    )
    return [Claim(stage, r.subject_id, r.variant_id, r.attempts, r.priority) for r in claimed]


def _claimed(
    connection: Connection,
    statement: Any,
    parameters: Mapping[str, Any],
    state: str,
    tally: Tally | None,
) -> list[Claim]:
    stage, variant_id = parameters["of_stage"], parameters["of_variant"]
    claimed = connection.execute(statement, parameters).all()
    tally_or_count(
        connection,
        parameters["by_worker"],
        state_change({stage: len(claimed)}, state, "claimed"),
        tally,
    )
    claims = [Claim(stage, row[0], variant_id, row[1], row[2]) for row in claimed]
    return sorted(claims, key=lambda c: (c.priority, c.subject_id))


def load_rows(
    connection: Connection, plan: StagePlan, stage: Stage, claims: Sequence[Claim]
) -> dict[int, Mapping[str, Any]]:
    """Return the rows that a stage reads for claimed jobs.

    Args:
        connection: the transaction to read in.
        plan: the stage plan, for its policy.
        stage: the stage.
        claims: claims of that stage.

    Returns:
        Rows by subject id; a subject that the stage no longer selects is missing.
    """
    return select_rows(connection, plan, stage, [c.subject_id for c in claims])


def select_rows(
    connection: Connection, plan: StagePlan, stage: Stage, subjects: Sequence[int]
) -> dict[int, Mapping[str, Any]]:
    """Return the rows that a stage reads for subjects, claimed or not, by subject id.

    Args:
        connection: A transaction that reads.
        plan: Policy and partitions.
        stage: The stage.
        subjects: Ids of subjects; those that the stage no longer selects are left out of the result.
    """
    found = connection.execute(_load_statement(stage, plan.policy), {"of_subjects": list(subjects)})
    names = tuple(found.keys())
    rows = (dict(zip(names, row, strict=True)) for row in found)
    return {row["subject_id"]: row for row in rows}


@lru_cache(maxsize=64)
def _load_statement(stage: Stage, policy: Policy) -> Select[Any]:
    return stage.select(policy).where(in_parameter(subject_column(stage, policy), "of_subjects"))
