"""Verdicts that rest on the execution of a pair which no longer holds, and judging them again.

Decision: nothing is replaced. The answers are enqueued under another variant of `verify`, which the
policy `verdict_round` makes where the active one has judged them already; their old verdicts count
until then.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, Select, exists, select

from annoy_store.db.sql import in_values
from annoy_store.db.tables import calls, executions, pair_checks, responses, turns, verdicts
from annoy_store.queue.enqueue import enqueue_again
from annoy_store.queue.variants import StagePlan, load_plan
from annoy_store.records.policy import load_policy, store_policy_value
from annoy_store.records.queries import current_pairs, current_verdict


def select_stale() -> Select[int, int]:
    """Select response and variant of each current verdict whose pair no longer holds."""
    pairs = current_pairs.c
    no_longer_holds = (
        exists()
        .select_from(current_pairs)
        .where(
            pairs.sample_id == executions.c.sample_id,
            pairs.status != "stable",
            exists().where(
                pair_checks.c.io_pair_id == pairs.id,
                pair_checks.c.execution_id == executions.c.id,
            ),
        )
    )
    return (
        select(verdicts.c.response_id, verdicts.c.variant_id)
        .join(executions, executions.c.id == verdicts.c.execution_id)
        .where(
            executions.c.purpose == "check",
            verdicts.c.id == current_verdict(),
            no_longer_holds,
        )
    )


def enqueue_stale(
    connection: Connection, plan: StagePlan, sample_ids: Collection[int] | None = None
) -> int:
    """Enqueue the answers whose verdicts rest on pairs that no longer hold.

    Args:
        connection: A write transaction.
        plan: The stages and their partitions.
        sample_ids: Only answers about these samples; None for all.

    Returns:
        The number of new jobs.
    """
    stale = select_stale()
    if sample_ids is not None:
        answers = (
            select(responses.c.id)
            .join(calls, calls.c.id == responses.c.call_id)
            .join(turns, turns.c.prompt_id == calls.c.prompt_id)
            .where(in_values(connection, turns.c.sample_id, sorted(sample_ids)))
        )
        stale = stale.where(verdicts.c.response_id.in_(answers))
    found = connection.execute(stale).all()
    if not found:
        return 0
    if {row.variant_id for row in found} & set(plan.variant_ids("verify")):
        policy = load_policy(connection)
        store_policy_value(connection, "verdict_round", policy.verdict_round + 1, 0)
        plan = load_plan(connection, plan.stages.values())
    ids = sorted({row.response_id for row in found})
    stages = [stage for stage in plan.stages.values() if stage.name == "verify"]
    return sum(enqueue_again(connection, plan, stage, ids) for stage in stages)
