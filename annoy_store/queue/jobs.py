"""The jobs of the queue: settles and releases claimed jobs, and counts those that are open.

Decisions
- The fencing token of a claim is (worker, attempts). Settling updates exactly the jobs that still
  carry it and writes results for those only, in one transaction: a stale worker writes nothing.
- Jobs of dead workers come back as `suspect` and are claimed alone, so that a job that crashes its
  worker affects no other; stages whose jobs cannot crash it claim them together.
- States are literals in the statements, as in the partial indexes that they use; a statement that
  knows its subjects finds them by the key alone, whatever the planner estimates.
- The statements are built once, with parameters: building them costs more than running them.

Related: claims.py claims jobs, enqueue.py inserts them, workers.py and lease.py keep the leases.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Table,
    Text,
    and_,
    bindparam,
    literal_column,
    select,
    true,
    update,
)

from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import clock, in_parameter, unindexed
from annoy_store.db.states import OPEN_STATES
from annoy_store.db.tables import jobs, pair_checks
from annoy_store.errors import EndpointUnavailable
from annoy_store.interfaces import Outcome
from annoy_store.queue.counters import Deltas, add_to_counters, state_change
from annoy_store.queue.enqueue import enqueue_new
from annoy_store.queue.stale_verdicts import enqueue_stale
from annoy_store.queue.variants import StagePlan


def in_state(state: str) -> ColumnElement[bool]:
    """Return `jobs.state = 'STATE'`, with the literal as in the partial indexes."""
    return jobs.c.state == literal_column(f"'{state}'")


Tally = Counter[tuple[str, str]]
"""Changes of the job counters by (stage, state), collected over one transaction."""


def tally_or_count(
    connection: Connection, worker_id: int, deltas: Deltas, tally: Tally | None
) -> None:
    """Add `deltas` to the tally, or to the counters where there is no tally."""
    if tally is None:
        add_to_counters(connection, worker_id, deltas)
    else:
        tally.update(deltas)


IN_BATCH = "in_batch"  # reason of deferred calls that are in an open batch
IN_PARTITION = and_(
    jobs.c.stage == bindparam("of_stage"), jobs.c.variant_id == bindparam("of_variant")
)
IN_SUBJECTS = and_(IN_PARTITION, in_parameter(jobs.c.subject_id, "of_subjects"))
_OWNED = and_(
    IN_SUBJECTS,
    jobs.c.attempts == bindparam("of_attempts"),
    unindexed(jobs.c.worker_id) == bindparam("of_worker"),
    unindexed(jobs.c.state) == literal_column("'claimed'"),
)


@dataclass(frozen=True)
class Claim:
    """One job that a worker holds; (worker, attempts) is its fencing token.

    Attributes:
        stage: the name of the stage.
        subject_id: the row that the job is about.
        variant_id: the variant of the stage.
        attempts: how often the job was claimed, this time included.
        priority: lower is claimed first.
    """

    stage: str
    subject_id: int
    variant_id: int
    attempts: int
    priority: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """The subject and the variant."""
        return self.subject_id, self.variant_id


@dataclass(frozen=True)
class JobResult:
    """A claimed job and how it ended.

    Attributes:
        claim: the job and its fencing token.
        outcome: its new state, the reason, and its new rows.
        due_in: seconds until a deferred job is due; None when only its batch makes it due.
        stop: the error of an endpoint that rejects every call: the run has to end, and the job is
            released with the rows made so far.
    """

    claim: Claim
    outcome: Outcome
    due_in: float | None = 0.0
    stop: EndpointUnavailable | None = None


@dataclass(frozen=True)
class SettleResult:
    """The result of a settling transaction.

    Attributes:
        accepted: the results whose claim was still valid.
        enqueued: how many new jobs of each stage follow from them.
    """

    accepted: list[JobResult] = field(default_factory=list)
    enqueued: Counter[str] = field(default_factory=Counter)

    @property
    def claims(self) -> list[Claim]:
        """The claims of the accepted results."""
        return [result.claim for result in self.accepted]


# Settling ------------------------------------------------------------------------------------


_FINISH = (
    update(jobs)
    .where(_OWNED)
    .values(
        state=bindparam("as_state"),
        worker_id=None,
        claimed_at=None,
        reason=None,
        detail=None,
        due_at=None,
    )
    .returning(jobs.c.subject_id)
)
_SET_REASON = (
    update(jobs)
    .where(IN_PARTITION, jobs.c.subject_id == bindparam("of_subject"))
    .values(
        reason=bindparam("new_reason"),
        detail=bindparam("new_detail", type_=Text),
        due_at=clock() + bindparam("wait", type_=Double),
    )
)
_RELEASE = (
    update(jobs)
    .where(_OWNED)
    .values(
        state=literal_column("'pending'"),
        worker_id=None,
        claimed_at=None,
        attempts=jobs.c.attempts - literal_column("1"),
    )
)


def settle(
    connection: Connection,
    worker_id: int,
    results: Sequence[JobResult],
    plan: StagePlan,
    tally: Tally | None = None,
) -> SettleResult:
    """Settle jobs: end those whose claim is valid, write their rows, enqueue what follows.

    Args:
        connection: a write transaction.
        worker_id: the worker that held the jobs.
        results: how the jobs ended.
        plan: the stages and partitions to enqueue new jobs for.
        tally: collects the changes of the job counters; without it they are written at once.

    Returns:
        The accepted results, and the number of new jobs.

    Raises:
        TypeError: a stage made a row of a table that it may not write.
    """
    for e in results:
        _check_writes(e.claim.stage, plan.writes(e.claim.stage), e.outcome)
    accepted = _finish_owned(connection, worker_id, results)
    written = insert_rows(connection, (row for e in accepted for row in e.outcome.rows))
    enqueued = enqueue_new(connection, plan, written)
    if failing := [e.claim.subject_id for e in accepted if _has_failing_pairs(e.outcome)]:
        enqueue_stale(connection, plan, failing)
    deltas: Counter[tuple[str, str]] = Counter({(s, "pending"): n for s, n in enqueued.items()})
    for e in accepted:
        deltas[e.claim.stage, "claimed"] -= 1
        deltas[e.claim.stage, e.outcome.state] += 1
    tally_or_count(connection, worker_id, deltas, tally)
    return SettleResult(accepted, enqueued)


def _has_failing_pairs(outcome: Outcome) -> bool:
    """Return whether a sample has pairs that do not hold, or do no longer."""
    checks = (row.values for row in outcome.rows if row.table is pair_checks)
    return any(check["status"] != "stable" for check in checks)


def _finish_owned(
    connection: Connection, worker_id: int, results: Sequence[JobResult]
) -> list[JobResult]:
    """End the jobs that still carry our fencing token; the others were reclaimed."""
    by_state: dict[str, list[JobResult]] = defaultdict(list)
    for e in results:
        by_state[e.outcome.state].append(e)
    accepted: list[JobResult] = []
    for state, group in by_state.items():
        held: set[Claim] = set()
        for parameters, claims in _by_fencing_token(worker_id, [e.claim for e in group]):
            found = connection.execute(_FINISH, {**parameters, "as_state": state})
            still_held = {row.subject_id for row in found}
            held.update(c for c in claims if c.subject_id in still_held)
        accepted += [e for e in group if e.claim in held]
    _set_reasons(connection, accepted)
    return accepted


def _by_fencing_token(
    worker_id: int, claims: Iterable[Claim]
) -> Iterator[tuple[dict[str, Any], list[Claim]]]:
    """Group claims by fencing token: the parameters of one statement, and its claims."""
    groups: dict[tuple[str, int, int], list[Claim]] = defaultdict(list)
    for c in claims:
        groups[c.stage, c.variant_id, c.attempts].append(c)
    for (stage, variant_id, attempts), group in groups.items():
        subjects = sorted(c.subject_id for c in group)
        yield (
            {
                "of_stage": stage,
                "of_variant": variant_id,
                "of_attempts": attempts,
                "of_worker": worker_id,
                "of_subjects": subjects,
            },
            group,
        )


def _set_reasons(connection: Connection, results: Iterable[JobResult]) -> None:
    rows = [
        {
            "of_stage": e.claim.stage,
            "of_variant": e.claim.variant_id,
            "of_subject": e.claim.subject_id,
            "new_reason": e.outcome.reason,
            "new_detail": e.outcome.detail,
            "wait": e.due_in if e.outcome.state == "deferred" else None,
        }
        for e in results
        if e.outcome.reason or e.outcome.detail or e.outcome.state == "deferred"
    ]
    if rows:
        connection.execute(_SET_REASON, rows)


def _check_writes(stage: str, writes: Set[Table], outcome: Outcome) -> None:
    for row in outcome.rows:
        if row.table not in writes:
            raise TypeError(f"stage {stage} may not write {row.table.name}")


def release(connection: Connection, worker_id: int, claims: Sequence[Claim]) -> None:
    """Make claimed jobs pending again, as if they had never been claimed.

    Args:
        connection: A write transaction.
        worker_id: The worker that holds them.
        claims: The jobs; those that it no longer holds are left alone.
    """
    released: Counter[str] = Counter()
    for parameters, group in _by_fencing_token(worker_id, claims):
        released[group[0].stage] += connection.execute(_RELEASE, parameters).rowcount
    add_to_counters(connection, worker_id, state_change(released, "claimed", "pending"))


def unacknowledged_claims(connection: Connection, worker_id: int) -> list[Claim]:
    """Return the claims of a worker in the store, also of a commit whose reply was lost.

    Args:
        connection: A transaction that reads.
        worker_id: The worker.
    """
    chosen = select(
        jobs.c.stage, jobs.c.subject_id, jobs.c.variant_id, jobs.c.attempts, jobs.c.priority
    ).where(in_state("claimed"), jobs.c.worker_id == worker_id)
    return [Claim(*row) for row in connection.execute(chosen)]


# Counting ------------------------------------------------------------------------------------


def count_open_jobs(
    connection: Connection, claimable: Iterable[tuple[str, int]]
) -> dict[tuple[str, int | None], int]:
    """Count open jobs; jobs in an open batch are left out, because no run waits for them.

    Args:
        connection: the transaction to read in.
        claimable: the (stage, variant) whose jobs are counted.

    Returns:
        Jobs by state and worker that holds them; at most 1,000 per state and variant are counted.
    """
    found: Counter[tuple[str, int | None]] = Counter()
    for stage, variant_id in claimable:
        mine = and_(jobs.c.stage == stage, jobs.c.variant_id == variant_id)
        for state in OPEN_STATES:
            ours = jobs.c.reason.is_distinct_from(IN_BATCH) if state == "deferred" else true()
            chosen = select(jobs.c.worker_id).where(in_state(state), mine, ours).limit(1000)
            found.update((state, row.worker_id) for row in connection.execute(chosen))
    return dict(found)


def variants_with_suspects(connection: Connection) -> set[tuple[str, int]]:
    """Return the (stage, variant) that have jobs whose last worker died."""
    chosen = select(jobs.c.stage, jobs.c.variant_id).where(in_state("suspect")).distinct()
    return {(row.stage, row.variant_id) for row in connection.execute(chosen)}
