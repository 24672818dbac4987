"""Moves open jobs from inactive variants to the active one.

Decisions
- Workers claim jobs of active variants. When a policy or a stage's version changes, the jobs still
  open under the old variant are moved to the new one: they have cost nothing yet. A job whose
  subject has a job there already (because of `annoy rerun`) ends as `superseded`.
- A job whose subject was not selected any more when it was claimed (a limit was lowered, an origin
  taken down) was rejected as `not_wanted`; when the limits change again, it is requeued.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, exists, literal_column, select, update

from annoy_store.db.states import WAITING_STATES
from annoy_store.db.tables import jobs, variants
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import add_to_counters, state_change
from annoy_store.queue.variants import StagePlan, variants_of


def move_to_active_variant(connection: Connection, plan: StagePlan, worker_id: int) -> int:
    """Move the open jobs of inactive variants to the active ones.

    Args:
        connection: a write transaction.
        plan: the active partitions of every stage.
        worker_id: the worker whose counters record the changes.

    Returns:
        How many jobs were moved.
    """
    moved = 0
    for stage in plan.stages.values():
        for active_id, inactive_ids in _successors(connection, plan, stage).items():
            for state in WAITING_STATES:
                moved += _move_jobs(
                    connection, stage.name, state, active_id, inactive_ids, worker_id
                )
    return moved


def requeue_unwanted(connection: Connection, stage: Stage, worker_id: int) -> int:
    """Make the jobs of a stage pending that were rejected as `not_wanted`.

    Args:
        connection: a write transaction.
        stage: the stage.
        worker_id: the worker whose counters record the changes.

    Returns:
        How many jobs were requeued.
    """
    mine = jobs.c.variant_id.in_(select(variants.c.id).where(variants_of(stage)))
    requeued = connection.execute(
        update(jobs)
        .where(jobs.c.stage == stage.name, mine, _is("rejected"), jobs.c.reason == "not_wanted")
        .values(state=literal_column("'pending'"), reason=None, detail=None, attempts=0)
    ).rowcount
    add_to_counters(
        connection, worker_id, state_change({stage.name: requeued}, "rejected", "pending")
    )
    return requeued


def _successors(
    connection: Connection, plan: StagePlan, stage: Stage
) -> Mapping[int, Sequence[int]]:
    """Map each active variant to the inactive ones whose jobs move to it."""
    active = plan.partitions[stage.key]
    rows = connection.execute(
        select(variants.c.id, variants.c.description).where(
            variants_of(stage),
            variants.c.id.not_in([partition.variant_id for partition in active]),
        )
    )
    successors: dict[int, list[int]] = defaultdict(list)
    for key, description in rows:
        described = json.loads(description)
        for partition in active:
            if all(described.get(name) == value for name, value in partition.columns.items()):
                successors[partition.variant_id].append(key)
                break
    return successors


def _move_jobs(
    connection: Connection,
    stage: str,
    state: str,
    active_id: int,
    inactive_ids: Sequence[int],
    worker_id: int,
) -> int:
    other = jobs.alias("other")
    duplicate = exists().where(
        other.c.stage == jobs.c.stage,
        other.c.subject_id == jobs.c.subject_id,
        other.c.variant_id == active_id,
    )
    waiting = [jobs.c.stage == stage, jobs.c.variant_id.in_(inactive_ids), _is(state)]
    ended: dict[str, Any] = {
        "state": literal_column("'done'"),
        "reason": "superseded",
        "due_at": None,
    }
    over = connection.execute(update(jobs).where(*waiting, duplicate).values(ended)).rowcount
    add_to_counters(connection, worker_id, state_change({stage: over}, state, "done"))
    return connection.execute(update(jobs).where(*waiting).values(variant_id=active_id)).rowcount


def _is(state: str) -> Any:
    return jobs.c.state == literal_column(f"'{state}'")
