"""Open jobs whose reason to wait has changed: they are brought to where somebody will take them.

Decisions
- Workers claim jobs of active variants. When a policy or a stage's version changes, what is still
  open under the old variant is done under the new one: it has cost nothing yet. A job that has a
  twin there already (somebody asked for a replan) ends as `superseded`.
- A job that was not wanted any more when it was claimed (a bound was lowered, an origin taken
  down) was rejected as `not_wanted`; when the bounds change again, it is looked at again.
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
from annoy_store.queue.variants import StagePlan


def move_to_active_variant(connection: Connection, agenda: StagePlan, worker_id: int) -> int:
    """Bring open jobs of inactive variants to the active ones; return how many."""
    brought = 0
    for stage in agenda.stages.values():
        for home, stale in _successors(connection, agenda, stage).items():
            for state in WAITING_STATES:
                brought += _move_jobs(connection, stage.name, state, home, stale, worker_id)
    return brought


def requeue_unwanted(connection: Connection, stage: Stage, worker_id: int) -> int:
    """Make the jobs of a stage pending that were not wanted when they were claimed."""
    again = connection.execute(
        update(jobs)
        .where(jobs.c.stage == stage.name, _is("rejected"), jobs.c.reason == "not_wanted")
        .values(state=literal_column("'pending'"), reason=None, detail=None, attempts=0)
    ).rowcount
    add_to_counters(connection, worker_id, state_change({stage.name: again}, "rejected", "pending"))
    return again


def _successors(
    connection: Connection, agenda: StagePlan, stage: Stage
) -> Mapping[int, Sequence[int]]:
    """Active variant -> the inactive ones whose jobs it takes."""
    active = agenda.partitions[stage.name]
    rows = connection.execute(
        select(variants.c.id, variants.c.description).where(
            variants.c.stage == stage.name,
            variants.c.id.not_in([case.variant_id for case in active]),
        )
    )
    homes: dict[int, list[int]] = defaultdict(list)
    for key, description in rows:
        described = json.loads(description)
        for case in active:
            if all(described.get(name) == value for name, value in case.columns.items()):
                homes[case.variant_id].append(key)
                break
    return homes


def _move_jobs(
    connection: Connection,
    stage: str,
    state: str,
    home: int,
    stale: Sequence[int],
    worker_id: int,
) -> int:
    there = jobs.alias("there")
    twin = exists().where(
        there.c.stage == jobs.c.stage,
        there.c.subject_id == jobs.c.subject_id,
        there.c.variant_id == home,
    )
    waiting = [jobs.c.stage == stage, jobs.c.variant_id.in_(stale), _is(state)]
    ended: dict[str, Any] = {
        "state": literal_column("'done'"),
        "reason": "superseded",
        "due_at": None,
    }
    over = connection.execute(update(jobs).where(*waiting, twin).values(ended)).rowcount
    add_to_counters(connection, worker_id, state_change({stage: over}, state, "done"))
    return connection.execute(update(jobs).where(*waiting).values(variant_id=home)).rowcount


def _is(state: str) -> Any:
    return jobs.c.state == literal_column(f"'{state}'")
