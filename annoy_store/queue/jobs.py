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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    Text,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    update,
)

from annoy_store.config import Policy
from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import clock, in_parameter, in_subquery, unindexed
from annoy_store.db.states import OPEN_STATES
from annoy_store.db.tables import jobs
from annoy_store.errors import EndpointUnavailable
from annoy_store.interfaces import Outcome, Stage
from annoy_store.queue.counters import NO_WORKER, Deltas, add_to_counters, state_change
from annoy_store.queue.enqueue import enqueue_new, subject_column
from annoy_store.queue.variants import StagePlan


def in_state(state: str) -> ColumnElement[bool]:
    """`state = 'word'` with the literal that the partial indexes spell."""
    return jobs.c.state == literal_column(f"'{state}'")


Tally = Counter[tuple[str, str]]
"""What a transaction moved, by (stage, state): given one, the caller counts, once for it all."""


def _count(connection: Connection, worker_id: int, deltas: Deltas, tally: Tally | None) -> None:
    if tally is None:
        add_to_counters(connection, worker_id, deltas)
    else:
        tally.update(deltas)


CURSOR_START = (-32768, -1)  # before every (priority, subject)
IN_BATCH = "in_batch"  # reason of deferred calls that a provider, and no worker, has in hand
_PARTITION = and_(
    jobs.c.stage == bindparam("of_stage"), jobs.c.variant_id == bindparam("of_variant")
)
_SUBJECTS = and_(_PARTITION, in_parameter(jobs.c.subject_id, "of_subjects"))
_OWNED = and_(
    _SUBJECTS,
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


# Claiming ------------------------------------------------------------------------------------


def _claim_statement(
    state: str, order: Sequence[ColumnElement[Any]], *where: ColumnElement[bool]
) -> Any:
    chosen = (
        select(jobs.c.subject_id)
        .where(_PARTITION, in_state(state), *where)
        .order_by(*order)
        .limit(bindparam("at_most"))
        .with_for_update(skip_locked=True)
    )
    return (
        update(jobs)
        .where(_PARTITION, in_subquery(jobs.c.subject_id, chosen))
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
    """Take up to `limit` pending jobs behind the cursor `after` = (priority, subject)."""
    place = {"of_stage": stage, "of_variant": variant_id, "at_most": limit, "by_worker": worker_id}
    place |= {"after_priority": after[0], "after_subject": after[1]}
    return _claimed(connection, _CLAIM_PENDING, place, "pending", tally)


def claim_suspects(
    connection: Connection,
    worker_id: int,
    stage: str,
    variant_id: int,
    limit: int,
    tally: Tally | None = None,
) -> list[Claim]:
    """Take up to `limit` jobs whose last holder died."""
    place = {"of_stage": stage, "of_variant": variant_id, "at_most": limit, "by_worker": worker_id}
    return _claimed(connection, _CLAIM_SUSPECTS, place, "suspect", tally)


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
    """Take the jobs of subjects that were in a batch, also those made pending meanwhile."""
    where = {"of_stage": stage, "of_subjects": list(subjects), "by_worker": worker_id}
    taken = connection.execute(_CLAIM_BATCHED, where).all()
    deferred = sum(row.reason == IN_BATCH for row in taken)
    add_to_counters(connection, worker_id, state_change({stage: deferred}, "deferred", "claimed"))
    add_to_counters(
        connection, worker_id, state_change({stage: len(taken) - deferred}, "pending", "claimed")
    )
    return [Claim(stage, r.subject_id, r.variant_id, r.attempts, r.priority) for r in taken]


def _claimed(
    connection: Connection,
    statement: Any,
    place: Mapping[str, Any],
    state: str,
    tally: Tally | None,
) -> list[Claim]:
    stage, variant_id = place["of_stage"], place["of_variant"]
    taken = connection.execute(statement, place).all()
    _count(
        connection, place["by_worker"], state_change({stage: len(taken)}, state, "claimed"), tally
    )
    claims = [Claim(stage, row[0], variant_id, row[1], row[2]) for row in taken]
    return sorted(claims, key=lambda c: (c.priority, c.subject_id))


def load_rows(
    connection: Connection, agenda: StagePlan, stage: Stage, claims: Sequence[Claim]
) -> dict[int, Mapping[str, Any]]:
    """Return by subject what the stage reads; a subject that is no longer wanted is missing."""
    return select_rows(connection, agenda, stage, [c.subject_id for c in claims])


def select_rows(
    connection: Connection, agenda: StagePlan, stage: Stage, subjects: Sequence[int]
) -> dict[int, Mapping[str, Any]]:
    """Return by subject what the stage reads of those it wants, claimed or not."""
    found = connection.execute(
        _load_statement(stage, agenda.policy), {"of_subjects": list(subjects)}
    )
    names = tuple(found.keys())
    rows = (dict(zip(names, row, strict=True)) for row in found)
    return {row["subject_id"]: row for row in rows}


@lru_cache(maxsize=64)
def _load_statement(stage: Stage, policy: Policy) -> Select[Any]:
    return stage.select(policy).where(in_parameter(subject_column(stage, policy), "of_subjects"))


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
    .where(_PARTITION, jobs.c.subject_id == bindparam("of_subject"))
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
    _count(connection, worker_id, deltas, tally)
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


def requeue(
    connection: Connection,
    stage: str | None = None,
    states: Sequence[str] = ("failed",),
    like: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
) -> Counter[str]:
    """Make ended jobs pending again, with their tries and crashes forgotten; counts per stage.

    `like` is looked for in reason and detail.
    """
    conditions: list[ColumnElement[bool]] = [
        jobs.c.state.in_([literal_column(f"'{s}'") for s in states])
    ]
    if stage is not None:
        conditions.append(jobs.c.stage == stage)
    if like is not None:
        text = f"%{like}%"
        conditions.append(or_(jobs.c.reason.like(text), jobs.c.detail.like(text)))
    chosen = (
        select(jobs.c.stage, jobs.c.subject_id, jobs.c.variant_id, jobs.c.state)
        .where(*conditions)
        .with_for_update()
    )
    rows = connection.execute(chosen.order_by(jobs.c.stage, jobs.c.subject_id).limit(limit)).all()
    if not dry_run:
        _make_pending(connection, rows)
    return Counter(row.stage for row in rows)


_REQUEUE = (
    update(jobs)
    .where(_SUBJECTS)
    .values(
        state=literal_column("'pending'"),
        worker_id=None,
        reason=None,
        detail=None,
        due_at=None,
        attempts=0,
        crashes=0,
    )
)


def _make_pending(connection: Connection, rows: Sequence[Any]) -> None:
    deltas: Counter[tuple[str, str]] = Counter()
    subjects: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row in rows:
        deltas[row.stage, row.state] -= 1
        deltas[row.stage, "pending"] += 1
        subjects[row.stage, row.variant_id].append(row.subject_id)
    for (stage, variant_id), listed_ids in subjects.items():
        place = {"of_stage": stage, "of_variant": variant_id}
        for start in range(0, len(listed_ids), 5000):
            page = listed_ids[start : start + 5000]
            connection.execute(_REQUEUE, {**place, "of_subjects": page})
    add_to_counters(connection, NO_WORKER, deltas)
