"""The ledger: which unit of work is pending, who holds it, and how it ended.

Decisions
- The fence of a claim is (worker, attempts). Settling updates exactly the jobs that still carry
  it and writes results for those only, in one transaction: a late zombie writes nothing.
- Jobs of the dead come back as `suspect`. They are claimed alone, so that a job that kills its
  worker takes no neighbour along; asking lanes, where that cannot happen, take them together.
- States are literals where a statement looks for them, as in the partial indexes that they use;
  a statement that knows its subjects finds them by the key alone, whatever the planner believes.
- The statements are built once, with parameters: building them costs more than running them.
Workers and their leases live in workers.py, the entering of jobs in enqueue.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
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
from annoy_store.db.tables import jobs
from annoy_store.errors import EndpointUnavailable
from annoy_store.interfaces import Outcome, Stage
from annoy_store.queue.counters import Deltas, add_to_counters, state_change
from annoy_store.queue.enqueue import enqueue_new
from annoy_store.queue.variants import StagePlan


def in_state(state: str) -> ColumnElement[bool]:
    """`state = 'word'` with the literal that the partial indexes spell."""
    return jobs.c.state == literal_column(f"'{state}'")


Tally = Counter[tuple[str, str]]
"""What a transaction moved, by (stage, state): given one, the caller counts, once for it all."""


def tally_or_count(
    connection: Connection, worker_id: int, deltas: Deltas, tally: Tally | None
) -> None:
    if tally is None:
        add_to_counters(connection, worker_id, deltas)
    else:
        tally.update(deltas)


IN_BATCH = "in_batch"  # reason of deferred calls that a provider, and no worker, has in hand
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
    """One job that a worker holds; (worker, attempts) is its fence."""

    stage: str
    subject_id: int
    variant_id: int
    attempts: int
    priority: int = 0

    @property
    def key(self) -> tuple[int, int]:
        return self.subject_id, self.variant_id


@dataclass(frozen=True)
class JobResult:
    """A claimed job and how it ended.

    Attributes:
        claim: the job and its fencing token.
        outcome: its new state, the reason, and the rows it made.
        due_in: seconds until a deferred job is due; None when only its batch makes it due.
        stop: why the endpoint can answer no calls at all: the run has to end, and the job is
            returned as it was, with the rows made so far.
    """

    claim: Claim
    outcome: Outcome
    due_in: float | None = 0.0
    stop: EndpointUnavailable | None = None


@dataclass(frozen=True)
class SettleResult:
    """The ends that were accepted, and how many jobs of each stage followed from them."""

    accepted: list[JobResult] = field(default_factory=list)
    enqueued: Counter[str] = field(default_factory=Counter)

    @property
    def claims(self) -> list[Claim]:
        return [e.claim for e in self.accepted]


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
        reason=bindparam("because"),
        detail=bindparam("in_words", type_=Text),
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
    ended: Sequence[JobResult],
    agenda: StagePlan,
    tally: Tally | None = None,
) -> SettleResult:
    """End jobs: fence, write what they made, enter the jobs that follow."""
    for e in ended:
        _check_writes(agenda.stages[e.claim.stage], e.outcome)
    accepted = _finish_owned(connection, worker_id, ended)
    touched = insert_rows(connection, (row for e in accepted for row in e.outcome.rows))
    entered = enqueue_new(connection, agenda, touched)
    deltas: Counter[tuple[str, str]] = Counter({(s, "pending"): n for s, n in entered.items()})
    for e in accepted:
        deltas[e.claim.stage, "claimed"] -= 1
        deltas[e.claim.stage, e.outcome.state] += 1
    tally_or_count(connection, worker_id, deltas, tally)
    return SettleResult(accepted, entered)


def _finish_owned(
    connection: Connection, worker_id: int, ended: Sequence[JobResult]
) -> list[JobResult]:
    """End the jobs that still carry our fence; the others are somebody else's by now."""
    by_state: dict[str, list[JobResult]] = defaultdict(list)
    for e in ended:
        by_state[e.outcome.state].append(e)
    accepted: list[JobResult] = []
    for state, alike in by_state.items():
        held: set[Claim] = set()
        for fence, claims in _by_fence(worker_id, [e.claim for e in alike]):
            found = connection.execute(_FINISH, {**fence, "as_state": state})
            left = {row.subject_id for row in found}
            held.update(c for c in claims if c.subject_id in left)
        accepted += [e for e in alike if e.claim in held]
    _set_reasons(connection, accepted)
    return accepted


def _by_fence(
    worker_id: int, claims: Iterable[Claim]
) -> Iterator[tuple[dict[str, Any], list[Claim]]]:
    """Claims in groups that one statement finds, with its parameters."""
    groups: dict[tuple[str, int, int], list[Claim]] = defaultdict(list)
    for c in claims:
        groups[c.stage, c.variant_id, c.attempts].append(c)
    for (stage, variant_id, attempts), alike in groups.items():
        subjects = sorted(c.subject_id for c in alike)
        yield (
            {
                "of_stage": stage,
                "of_variant": variant_id,
                "of_attempts": attempts,
                "of_worker": worker_id,
                "of_subjects": subjects,
            },
            alike,
        )


def _set_reasons(connection: Connection, ended: Iterable[JobResult]) -> None:
    rows = [
        {
            "of_stage": e.claim.stage,
            "of_variant": e.claim.variant_id,
            "of_subject": e.claim.subject_id,
            "because": e.outcome.reason,
            "in_words": e.outcome.detail,
            "wait": e.due_in if e.outcome.state == "deferred" else None,
        }
        for e in ended
        if e.outcome.reason or e.outcome.detail or e.outcome.state == "deferred"
    ]
    if rows:
        connection.execute(_SET_REASON, rows)


def _check_writes(stage: Stage, outcome: Outcome) -> None:
    for row in outcome.rows:
        if row.table not in stage.writes:
            raise TypeError(f"stage {stage.name} may not write {row.table.name}")


def release(connection: Connection, worker_id: int, claims: Sequence[Claim]) -> None:
    """Give unfinished jobs back as if they had never been claimed."""
    back: Counter[str] = Counter()
    for fence, alike in _by_fence(worker_id, claims):
        back[alike[0].stage] += connection.execute(_RELEASE, fence).rowcount
    add_to_counters(connection, worker_id, state_change(back, "claimed", "pending"))


def unacknowledged_claims(connection: Connection, worker_id: int) -> list[Claim]:
    """What a worker holds by the ledger: after a commit whose answer was lost it may not know."""
    chosen = select(
        jobs.c.stage, jobs.c.subject_id, jobs.c.variant_id, jobs.c.attempts, jobs.c.priority
    ).where(in_state("claimed"), jobs.c.worker_id == worker_id)
    return [Claim(*row) for row in connection.execute(chosen)]


# Questions and commands ----------------------------------------------------------------------


def count_open_jobs(
    connection: Connection, claimable: Iterable[tuple[str, int]]
) -> dict[tuple[str, int | None], int]:
    """Jobs that are not ended among (stage, variant): by state and holder, counted up to 1000.

    What is in a batch is not counted: nobody waits for it but those who handed it in.
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
    """The (stage, variant) that have jobs whose last holder died."""
    chosen = select(jobs.c.stage, jobs.c.variant_id).where(in_state("suspect")).distinct()
    return {(row.stage, row.variant_id) for row in connection.execute(chosen)}
