"""Rerun stages on old rows under the active variant, and show which verdicts that changed.

Decisions
- Nothing is replaced: a rerun adds rows of the new variant beside the old ones, and `current` means
  the active variant's. It calls no model; calls that new prompts need wait for a run.
- Pairs may be run again although nothing of ours has changed: another interpreter may disagree. So
  where all samples were done under the active variant of `generate`, the policy `check_round` is
  raised, which makes another variant; never while such jobs are open.
- Rows are selected by an SQL condition, which is run like any other read-only query.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from annoy_store.analysis.sql import run_query
from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.db.states import OPEN_STATES
from annoy_store.db.tables import jobs, variants, verdicts
from annoy_store.errors import UsageError
from annoy_store.queue.counters import NO_WORKER
from annoy_store.queue.enqueue import count_enqueue_again, enqueue_again
from annoy_store.queue.jobs import in_state
from annoy_store.queue.reassign import move_to_active_variant
from annoy_store.queue.stale_verdicts import enqueue_stale, select_stale
from annoy_store.queue.variants import load_plan, preview_partitions
from annoy_store.records.policy import load_policy, store_policy_value
from annoy_store.stages import PIPELINE, stages_named

GENERATE = "generate"
SUBJECT_VIEWS = {
    "transform": ("sources", "id"),
    "parse": ("responses", "id"),
    "generate": ("samples", "id"),
    "predict": ("v_current_pairs", "id"),
    "verify": ("v_answers", "response_id"),
    "revise": ("v_current_verdicts", "id"),
}


# Rerun ---------------------------------------------------------------------------------------


def select_subjects(store: Database, stage: str, where: str | None) -> list[int] | None:
    """Return the subjects of a stage that meet a condition.

    Args:
        store: The store.
        stage: A key of `SUBJECT_VIEWS`.
        where: SQL condition on the columns of the stage's view.

    Returns:
        Ids of subjects; None without a condition.

    Raises:
        UsageError: The condition is not valid SQL.
    """
    if where is None:
        return None
    table, key = SUBJECT_VIEWS[stage]
    with run_query(store, f"SELECT DISTINCT {key} FROM {table} WHERE (\n{where}\n)") as found:
        return [row[0] for row in found.rows if row[0] is not None]


def count_rerun(store: Database, stage: str, chosen: Sequence[int] | None = None) -> int:
    """Return how many jobs `enqueue_rerun` would add; writes nothing.

    Args:
        store: The store.
        stage: Name of the stage.
        chosen: Ids of subjects; None means all.
    """
    with store.read() as connection:
        policy = load_policy(connection)
        found = _count(connection, stage, policy, chosen)
        if found or not _may_repeat(connection, stage):
            return found
        return _count(connection, stage, _next_round(policy), chosen)


def _count(connection: Connection, stage: str, policy: Policy, chosen: Sequence[int] | None) -> int:
    return sum(
        count_enqueue_again(
            connection, part, policy, preview_partitions(connection, part, policy), chosen
        )
        for part in stages_named(stage)
    )


def _may_repeat(connection: Connection, stage: str) -> bool:
    """Whether a stage may be done again under equal policies: of `generate`, without open jobs."""
    is_open = or_(*map(in_state, OPEN_STATES))
    open_jobs = select(jobs.c.subject_id).where(jobs.c.stage == stage, is_open).limit(1)
    return stage == GENERATE and connection.scalar(open_jobs) is None


def _next_round(policy: Policy) -> Policy:
    return policy.model_copy(update={"check_round": policy.check_round + 1})


def enqueue_rerun(
    store: Database, stage: str, chosen: Sequence[int] | None = None, limit: int | None = None
) -> int:
    """Queue subjects that a stage selects once more, under its active variant.

    Args:
        store: The store.
        stage: Name of the stage.
        chosen: Ids of subjects; None means all.
        limit: Maximum number of jobs; None means all.

    Returns:
        How many jobs were added.
    """
    with store.write() as connection:
        entered = _enqueue(connection, stage, chosen, limit)
        policy = load_policy(connection)
        if entered or not _may_repeat(connection, stage):
            return entered
        if not _count(connection, stage, _next_round(policy), chosen):
            return 0
        store_policy_value(connection, "check_round", policy.check_round + 1, 0)
        return _enqueue(connection, stage, chosen, limit)


def enqueue_stale_answers(store: Database) -> int:
    """Queue the answers that were judged from a pair which no longer holds.

    Returns:
        How many jobs were added.
    """
    with store.write() as connection:
        return enqueue_stale(connection, load_plan(connection, PIPELINE))


def count_stale_answers(store: Database) -> int:
    """Return how many answers were judged from a pair which no longer holds."""
    with store.read() as connection:
        stale = select_stale().subquery()
        return int(connection.scalar(select(func.count()).select_from(stale)) or 0)


def _enqueue(
    connection: Connection, stage: str, chosen: Sequence[int] | None, limit: int | None
) -> int:
    plan = load_plan(connection, PIPELINE)
    move_to_active_variant(connection, plan, NO_WORKER)
    entered = 0
    for part in stages_named(stage):
        left = None if limit is None else limit - entered
        entered += enqueue_again(connection, plan, part, chosen, left)
    return entered


# Verdict changes -----------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckerVariant:
    """A version of the checker: what it depends on, and how many answers it judged."""

    id: int
    depends: Mapping[str, Any]
    active: bool
    verdicts: int

    @property
    def task(self) -> str:
        """The task whose answers it judged."""
        return str(self.depends.get("task", ""))


@dataclass(frozen=True)
class VerdictChange:
    """One answer that two variants judge differently."""

    response_id: int
    kind: str
    before: str
    after: str
    mismatch_before: str | None
    mismatch_after: str | None
    feedback_before: str
    feedback_after: str


def checker_variants(connection: Connection) -> list[CheckerVariant]:
    """Return the variants that have verdicts, the oldest first."""
    chosen = (
        select(variants.c.id, variants.c.description, variants.c.active, func.count())
        .join(verdicts, verdicts.c.variant_id == variants.c.id)
        .where(variants.c.stage == "verify")
        .group_by(variants.c.id, variants.c.description, variants.c.active)
        .order_by(variants.c.id)
    )
    return [
        CheckerVariant(key, _depends(words), bool(active), int(n))
        for key, words, active, n in connection.execute(chosen)
    ]


def _depends(description: str) -> Mapping[str, Any]:
    try:
        read = json.loads(description)
    except ValueError:
        return {"description": description}
    return read if isinstance(read, dict) else {"description": description}


def choose_variants(
    known: Sequence[CheckerVariant], before: int | None, after: int | None
) -> list[tuple[CheckerVariant, CheckerVariant]]:
    """Return the variants to compare, older and newer: of every task, or of one if one is named.

    Args:
        known: All variants with verdicts, the oldest first.
        before: Id of the older; None means the newest other one of the same task.
        after: Id of the newer; None means the active one of the same task.

    Raises:
        UsageError: A variant does not exist, two are of different tasks, or no task has two.
    """
    named = [_by_id(known, key) for key in (before, after) if key is not None]
    tasks = dict.fromkeys(v.task for v in named or known)
    if len(named) == 2 and len(tasks) == 2:
        raise UsageError(f"variants {before} and {after} are of two tasks: {' and '.join(tasks)}")
    pairs = [_pair([v for v in known if v.task == task], before, after) for task in tasks]
    found = [pair for pair in pairs if pair is not None]
    if not found:
        raise UsageError(
            f"{len(known)} variants have verdicts, and none of them two of one task, so there is "
            "nothing to compare; change the policy or the checker, then: annoy reverify"
        )
    return found


def _by_id(known: Sequence[CheckerVariant], variant_id: int) -> CheckerVariant:
    by_id = {variant.id: variant for variant in known}
    if variant_id not in by_id:
        there = ", ".join(map(str, by_id)) or "none"
        raise UsageError(f"variant {variant_id} has no verdicts; variants with verdicts: {there}")
    return by_id[variant_id]


def _pair(
    known: Sequence[CheckerVariant], before: int | None, after: int | None
) -> tuple[CheckerVariant, CheckerVariant] | None:
    """The older and the newer of one task's variants; None if there are not two."""
    active = [variant for variant in known if variant.active] or list(known)
    newer = _by_id(known, after) if after is not None else active[-1]
    others = [variant for variant in known if variant.id != newer.id]
    older = _by_id(known, before) if before is not None else (others[-1] if others else None)
    return None if older is None or older.id == newer.id else (older, newer)


def variant_differences(older: CheckerVariant, newer: CheckerVariant) -> dict[str, tuple[Any, Any]]:
    """Return what two variants depend on differently, as (older, newer) by key."""
    keys = sorted(older.depends.keys() | newer.depends.keys())
    both = {key: (older.depends.get(key), newer.depends.get(key)) for key in keys}
    return {key: (one, two) for key, (one, two) in both.items() if one != two}


def verdict_changes(connection: Connection, before: int, after: int) -> list[VerdictChange]:
    """Return the answers whose status or mismatch differs between two variants.

    Args:
        connection: A transaction that reads.
        before: Id of the older variant.
        after: Id of the newer variant, of the same task.
    """
    one, two = verdicts.alias("one"), verdicts.alias("two")
    same_answer = and_(
        two.c.response_id == one.c.response_id,
        two.c.checker == one.c.checker,
        two.c.variant_id == after,
    )
    differ = or_(
        one.c.status != two.c.status,
        func.coalesce(one.c.mismatch, "") != func.coalesce(two.c.mismatch, ""),
    )
    chosen = (
        select(
            one.c.response_id,
            one.c.checker,
            one.c.status,
            two.c.status,
            one.c.mismatch,
            two.c.mismatch,
            one.c.feedback,
            two.c.feedback,
        )
        .select_from(one.join(two, same_answer))
        .where(one.c.variant_id == before, differ)
        .order_by(one.c.response_id, one.c.checker)
    )
    return [VerdictChange(*row) for row in connection.execute(chosen)]


def count_compared(connection: Connection, before: int, after: int) -> int:
    """Return how many answers both variants judged.

    Args:
        connection: A transaction that reads.
        before: Id of the older variant.
        after: Id of the newer variant.
    """
    one, two = verdicts.alias("one"), verdicts.alias("two")
    both = one.join(
        two, and_(two.c.response_id == one.c.response_id, two.c.checker == one.c.checker)
    )
    chosen = select(func.count()).select_from(both)
    mine = chosen.where(one.c.variant_id == before, two.c.variant_id == after)
    return int(connection.scalar(mine) or 0)


def summarise_changes(found: Sequence[VerdictChange]) -> list[tuple[str, str, int]]:
    """Return (before, after, count), the most frequent first; status and mismatch in one text."""
    counts = Counter(
        (_outcome(f.before, f.mismatch_before), _outcome(f.after, f.mismatch_after)) for f in found
    )
    return [(one, two, n) for (one, two), n in counts.most_common()]


def _outcome(status: str, mismatch: str | None) -> str:
    return f"{status} ({mismatch})" if mismatch else status
