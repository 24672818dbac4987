"""The ledger: which unit of work is pending, who holds it, and how it ended.

Decisions
- The fence of a claim is (worker, attempts). Settling updates exactly the jobs that still carry
  it and writes results for those only, in one transaction: a late zombie writes nothing.
- Jobs of the dead come back as `suspect`. They are claimed alone, so that a job that kills its
  worker takes no neighbour along; asking lanes, where that cannot happen, take them together.
- A batch is chosen in a materialised CTE: PostgreSQL may run a plain LIMIT subquery twice.
- States are literals in these statements, as in the partial indexes that they use.
Workers and their leases live in workforce.py, the entering of jobs in planning.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Text,
    and_,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from annoy_store.contracts import Outcome, Stage
from annoy_store.counting import NOBODY, count, moved
from annoy_store.database import among, now, rows_of, unindexed
from annoy_store.planning import plan_new, subject_column
from annoy_store.policies import Agenda
from annoy_store.tables import jobs
from annoy_store.writing import write


def in_state(state: str) -> ColumnElement[bool]:
    """`state = 'word'` with the literal that the partial indexes spell."""
    return jobs.c.state == literal_column(f"'{state}'")


START = (-32768, -1)  # before every (priority, subject)
OPEN_STATES = ("pending", "claimed", "deferred", "suspect")


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
class Ended:
    """A claimed job and how it ended; `due_in` seconds for a deferred one."""

    claim: Claim
    outcome: Outcome
    due_in: float = 0.0


# Claiming ------------------------------------------------------------------------------------


def claim(
    connection: Connection,
    worker_id: int,
    stage: str,
    variant_id: int,
    limit: int,
    after: tuple[int, int] = START,
) -> list[Claim]:
    """Take up to `limit` pending jobs behind the cursor `after` = (priority, subject)."""
    behind = tuple_(jobs.c.priority, jobs.c.subject_id) > tuple_(*map(literal, after))
    return _take(connection, worker_id, stage, variant_id, limit, "pending", behind)


def claim_suspects(
    connection: Connection, worker_id: int, stage: str, variant_id: int, limit: int
) -> list[Claim]:
    """Take up to `limit` jobs whose last holder died."""
    return _take(connection, worker_id, stage, variant_id, limit, "suspect")


def _take(
    connection: Connection,
    worker_id: int,
    stage: str,
    variant_id: int,
    limit: int,
    state: str,
    *conditions: ColumnElement[bool],
) -> list[Claim]:
    mine = and_(jobs.c.stage == stage, jobs.c.variant_id == variant_id)
    order = [jobs.c.priority, jobs.c.subject_id] if state == "pending" else [jobs.c.subject_id]
    chosen = (
        select(jobs.c.subject_id)
        .where(mine, in_state(state), *conditions)
        .order_by(*order)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
        .prefix_with("MATERIALIZED")
    )
    taken = connection.execute(
        update(jobs)
        .where(mine, jobs.c.subject_id == chosen.c.subject_id)
        .values(
            state=literal_column("'claimed'"), worker_id=worker_id, attempts=jobs.c.attempts + 1
        )
        .returning(jobs.c.subject_id, jobs.c.attempts, jobs.c.priority)
    ).all()
    count(connection, worker_id, moved({stage: len(taken)}, state, "claimed"))
    claims = [Claim(stage, row[0], variant_id, row[1], row[2]) for row in taken]
    return sorted(claims, key=lambda c: (c.priority, c.subject_id))


def load(
    connection: Connection, agenda: Agenda, stage: Stage, claims: Sequence[Claim]
) -> dict[int, Mapping[str, Any]]:
    """Return by subject what the stage reads; a subject that is no longer wanted is missing."""
    subject = subject_column(stage, agenda.policy)
    wanted = stage.wants(agenda.policy).where(
        among(connection, subject, [c.subject_id for c in claims])
    )
    return {row["subject_id"]: dict(row) for row in connection.execute(wanted).mappings()}


# Settling ------------------------------------------------------------------------------------


def settle(
    connection: Connection,
    worker_id: int,
    ended: Sequence[Ended],
    agenda: Agenda,
) -> list[Claim]:
    """End jobs: fence, write what they made, enter the jobs that follow. Returns the accepted."""
    accepted: list[Ended] = []
    for name in sorted({e.claim.stage for e in ended}):
        accepted += _fence(connection, worker_id, name, [e for e in ended if e.claim.stage == name])
    for e in accepted:
        _check_writes(agenda.stages[e.claim.stage], e.outcome)
    touched = write(connection, (row for e in accepted for row in e.outcome.rows))
    plan_new(connection, agenda, worker_id, touched)
    deltas: Counter[tuple[str, str]] = Counter()
    for e in accepted:
        deltas[e.claim.stage, "claimed"] -= 1
        deltas[e.claim.stage, e.outcome.state] += 1
    count(connection, worker_id, deltas)
    return [e.claim for e in accepted]


def _fence(
    connection: Connection, worker_id: int, stage: str, ended: Sequence[Ended]
) -> list[Ended]:
    due = now(connection)
    given = rows_of(
        connection,
        {"subject_id": BigInteger, "variant_id": BigInteger, "attempts": BigInteger,
         "state": Text, "reason": Text, "detail": Text, "due_at": Double},
        [(*e.claim.key, e.claim.attempts, e.outcome.state, e.outcome.reason, e.outcome.detail,
          due + e.due_in if e.outcome.state == "deferred" else None) for e in ended],
    )  # fmt: skip
    settled = connection.execute(
        update(jobs)
        .where(
            jobs.c.stage == stage,
            jobs.c.subject_id == given.c.subject_id,
            jobs.c.variant_id == given.c.variant_id,
            jobs.c.attempts == given.c.attempts,
            unindexed(connection, jobs.c.worker_id) == worker_id,
            unindexed(connection, jobs.c.state) == literal_column("'claimed'"),
        )
        .values(
            state=given.c.state, reason=given.c.reason, detail=given.c.detail,
            due_at=given.c.due_at, worker_id=None,
        )
        .returning(jobs.c.subject_id, jobs.c.variant_id)
    )  # fmt: skip
    held = {tuple(row) for row in settled}
    return [e for e in ended if e.claim.key in held]


def _check_writes(stage: Stage, outcome: Outcome) -> None:
    for row in outcome.rows:
        if row.table not in stage.writes:
            raise TypeError(f"stage {stage.name} may not write {row.table.name}")


def release(connection: Connection, worker_id: int, claims: Sequence[Claim]) -> None:
    """Give unfinished jobs back as if they had never been claimed."""
    for name in sorted({c.stage for c in claims}):
        mine = [c for c in claims if c.stage == name]
        given = rows_of(
            connection,
            {"subject_id": BigInteger, "variant_id": BigInteger},
            [c.key for c in mine],
        )
        back = connection.execute(
            update(jobs)
            .where(
                jobs.c.stage == name,
                jobs.c.subject_id == given.c.subject_id,
                jobs.c.variant_id == given.c.variant_id,
                unindexed(connection, jobs.c.worker_id) == worker_id,
                unindexed(connection, jobs.c.state) == literal_column("'claimed'"),
            )
            .values(state=literal_column("'pending'"), worker_id=None, attempts=jobs.c.attempts - 1)
        ).rowcount
        count(connection, worker_id, moved({name: back}, "claimed", "pending"))


# Questions and commands ----------------------------------------------------------------------


def open_jobs(
    connection: Connection, claimable: Iterable[tuple[str, int]]
) -> dict[tuple[str, int | None], int]:
    """Jobs that are not ended among (stage, variant): by state and holder, counted up to 1000."""
    found: Counter[tuple[str, int | None]] = Counter()
    for stage, variant_id in claimable:
        mine = and_(jobs.c.stage == stage, jobs.c.variant_id == variant_id)
        for state in OPEN_STATES:
            chosen = select(jobs.c.worker_id).where(in_state(state), mine).limit(1000)
            found.update((state, row.worker_id) for row in connection.execute(chosen))
    return dict(found)


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
    chosen = select(jobs.c.stage, jobs.c.subject_id, jobs.c.variant_id, jobs.c.state).where(
        *conditions
    )
    rows = connection.execute(chosen.order_by(jobs.c.stage, jobs.c.subject_id).limit(limit)).all()
    if not dry_run:
        _make_pending(connection, rows)
    return Counter(row.stage for row in rows)


def _make_pending(connection: Connection, rows: Sequence[Any]) -> None:
    deltas: Counter[tuple[str, str]] = Counter()
    for row in rows:
        deltas[row.stage, row.state] -= 1
        deltas[row.stage, "pending"] += 1
    for start in range(0, len(rows), 5000):
        given = rows_of(
            connection,
            {"stage": Text, "subject_id": BigInteger, "variant_id": BigInteger},
            [tuple(row)[:3] for row in rows[start : start + 5000]],
        )
        connection.execute(
            update(jobs)
            .where(
                jobs.c.stage == given.c.stage,
                jobs.c.subject_id == given.c.subject_id,
                jobs.c.variant_id == given.c.variant_id,
            )
            .values(
                state=literal_column("'pending'"), reason=None, detail=None, due_at=None,
                attempts=0, crashes=0,
            )
        )  # fmt: skip
    count(connection, NOBODY, deltas)
