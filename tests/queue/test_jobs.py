"""Jobs: claims are fenced, counters are true, and no job is lost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, func, select, text, update

from annoy_store.db.engine import Database
from annoy_store.db.sql import insert_new
from annoy_store.db.tables import job_counters, jobs, prompts, responses, sources, workers
from annoy_store.errors import LeaseLost
from annoy_store.interfaces import NewRow, Outcome, done, failed, rejected
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs as job_queue
from annoy_store.queue.counters import fold_counters, funnel
from annoy_store.queue.jobs import Claim, JobResult
from annoy_store.queue.requeue import requeue
from annoy_store.queue.variants import StagePlan
from annoy_store.queue.workers import reap, register_worker, renew_lease
from tests.support.query_plans import explained, scans, watched
from tests.support.small_pipeline import SPREAD, TOYS, add_sources, plan, spread

LEASE = 30.0


def hire(store: Database) -> int:
    with store.write() as connection:
        return register_worker(connection, ["spread"], LEASE)


def expire(store: Database, worker_id: int) -> None:
    """A worker's lease has run out, and its process is elsewhere."""
    with store.write() as connection:
        connection.execute(
            update(workers)
            .where(workers.c.id == worker_id)
            .values(lease_until=0.0, host="elsewhere")
        )


def take(
    store: Database, agenda: StagePlan, worker: int, n: int = 10, stage: str = "spread"
) -> list[Claim]:
    (variant,) = agenda.variant_ids(stage)
    with store.write() as connection:
        renew_lease(connection, worker, LEASE)
        return job_claims.claim(connection, worker, stage, variant, n)


def end(
    store: Database,
    agenda: StagePlan,
    worker: int,
    claims: list[Claim],
    outcome: Outcome | None = None,
) -> list[Claim]:
    with store.write() as connection:
        ended = [JobResult(c, outcome or done()) for c in claims]
        return job_queue.settle(connection, worker, ended, agenda).claims


def states(store: Database) -> Counter[tuple[str, str]]:
    with store.read() as connection:
        found = connection.execute(
            select(jobs.c.stage, jobs.c.state, func.count()).group_by(jobs.c.stage, jobs.c.state)
        )
        return Counter({(stage, state): n for stage, state, n in found})


def counted(store: Database) -> Counter[tuple[str, str]]:
    with store.read() as connection:
        return Counter({(s, w): n for s, by in funnel(connection).items() for w, n in by.items()})


def test_claim_takes_each_job_once_in_order(store: Database) -> None:
    add_sources(store, 10)
    agenda = plan(store)
    a, b = hire(store), hire(store)
    first, second = take(store, agenda, a, 6), take(store, agenda, b, 6)
    assert [c.subject_id for c in first + second] == sorted(c.subject_id for c in first + second)
    assert len(first) == 6
    assert len(second) == 4
    assert take(store, agenda, a) == []


def test_claim_begins_behind_the_cursor(store: Database) -> None:
    add_sources(store, 5)
    agenda = plan(store)
    worker = hire(store)
    (variant,) = agenda.variant_ids("spread")
    with store.write() as connection:
        all_of_them = connection.scalars(select(sources.c.id).order_by(sources.c.id)).all()
        behind = job_claims.claim(connection, worker, "spread", variant, 2, (0, all_of_them[2]))
        urgent = update(jobs).where(jobs.c.subject_id == all_of_them[2]).values(priority=-1)
        connection.execute(urgent)
        rest = job_claims.claim(connection, worker, "spread", variant, 9)
    assert [c.subject_id for c in behind] == all_of_them[3:]
    assert [c.subject_id for c in rest] == [all_of_them[2], *all_of_them[:2]]


def test_settle_writes_nothing_for_a_stale_worker(store: Database) -> None:
    add_sources(store, 3)
    agenda = plan(store)
    a, b = hire(store), hire(store)
    held = take(store, agenda, a)
    expire(store, a)
    with store.write() as connection:
        reap(connection, b)
        again = [
            c
            for _ in range(3)
            for c in job_claims.claim_suspects(connection, b, "spread", held[0].variant_id, 1)
        ]
    assert [c.subject_id for c in again] == [c.subject_id for c in held]
    assert end(store, agenda, b, again, done(*_made("by b"))) == again
    before = _rows(store, prompts)
    assert end(store, agenda, a, held, done(*_made("by a"))) == []
    with pytest.raises(LeaseLost):
        take(store, agenda, a)
    with pytest.raises(LeaseLost), store.write() as connection:
        renew_lease(connection, a, LEASE)
    assert _rows(store, prompts) == before
    assert states(store)["spread", "done"] == 3


def test_fencing_token_differs_between_two_claims_of_one_worker(store: Database) -> None:
    add_sources(store, 1)
    agenda = plan(store)
    worker = hire(store)
    first = take(store, agenda, worker)
    assert end(store, agenda, worker, first, Outcome("deferred", (), "later")) == first
    with store.write() as connection:
        reap(connection, worker)
    second = take(store, agenda, worker)
    assert end(store, agenda, worker, first, done(*_made("late"))) == []
    assert end(store, agenda, worker, second) == second
    assert _rows(store, prompts) == 0


def _made(word: str) -> list[NewRow]:
    row = {"subject_id": 1, "digest": word}
    return list(spread(row, None).rows)  # type: ignore[arg-type]


def _rows(store: Database, table: Any) -> int:
    with store.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def test_settle_writes_rows_and_enqueues_what_follows(store: Database) -> None:
    add_sources(store, 2)
    agenda = plan(store)
    worker = hire(store)
    held = take(store, agenda, worker)
    with store.write() as connection:
        loaded = job_claims.load_rows(connection, agenda, SPREAD, held)
        ended = [JobResult(c, spread(loaded[c.subject_id], None)) for c in held]  # type: ignore[arg-type]
        settled = job_queue.settle(connection, worker, ended, agenda)
    assert settled.enqueued == {"answer": 6}
    assert states(store) == {("spread", "done"): 2, ("answer", "pending"): 6}
    assert counted(store) == states(store)


def test_settle_stores_reason_and_detail(store: Database) -> None:
    add_sources(store, 3)
    agenda = plan(store)
    worker = hire(store)
    a, b, c = take(store, agenda, worker)
    with store.write() as connection:
        endings = [
            JobResult(a, rejected("empty", detail="nothing in it")),
            JobResult(b, failed("Trouble")),
            JobResult(c, Outcome("deferred", (), "sandbox_error"), due_in=500.0),
        ]
        job_queue.settle(connection, worker, endings, agenda)
        found = {
            row.subject_id: (row.state, row.reason, row.detail, row.due_at is not None)
            for row in connection.execute(select(jobs).where(jobs.c.stage == "spread"))
        }
    assert found == {
        a.subject_id: ("rejected", "empty", "nothing in it", False),
        b.subject_id: ("failed", "Trouble", None, False),
        c.subject_id: ("deferred", "sandbox_error", None, True),
    }
    with store.write() as connection:
        reap(connection, worker)  # not due yet
    assert states(store)["spread", "deferred"] == 1


def test_settle_rejects_rows_that_a_stage_may_not_write(store: Database) -> None:
    add_sources(store, 1)
    agenda = plan(store)
    worker = hire(store)
    held = take(store, agenda, worker)
    with pytest.raises(TypeError, match="may not write responses"):
        end(store, agenda, worker, held, done(NewRow(responses, {})))
    assert states(store)["spread", "claimed"] == 1


def test_release_leaves_jobs_as_if_never_claimed(store: Database) -> None:
    add_sources(store, 3)
    agenda = plan(store)
    worker = hire(store)
    held = take(store, agenda, worker)
    with store.write() as connection:
        job_queue.release(connection, worker, held[:2])
        assert [c.subject_id for c in job_queue.unacknowledged_claims(connection, worker)] == [
            held[2].subject_id
        ]
    again = take(store, agenda, worker)
    assert again == held[:2]
    assert counted(store) == states(store)


def test_load_rows_leaves_out_subjects_no_longer_selected(store: Database) -> None:
    add_sources(store, 2)
    agenda = plan(store)
    held = take(store, agenda, hire(store))
    gone = [*held, Claim("spread", 10**6, held[0].variant_id, 1)]
    with store.read() as connection:
        loaded = job_claims.load_rows(connection, agenda, SPREAD, gone)
    assert sorted(loaded) == [c.subject_id for c in held]


def test_requeue_filters_by_state_and_text(store: Database) -> None:
    add_sources(store, 4)
    agenda = plan(store)
    worker = hire(store)
    held = take(store, agenda, worker)
    with store.write() as connection:
        words = ["missing_module:a", "missing_module:b", "syntax_error", None]
        endings = [
            JobResult(c, failed(w) if w else done()) for c, w in zip(held, words, strict=True)
        ]
        job_queue.settle(connection, worker, endings, agenda)
        tried = requeue(connection, "spread", like="missing_module", dry_run=True)
        assert tried == {"spread": 2}
        assert requeue(connection, "spread", like="module:a") == {"spread": 1}
        assert requeue(connection, limit=1) == {"spread": 1}
        assert requeue(connection, "answer") == {}
    assert states(store) == {
        ("spread", "pending"): 2,
        ("spread", "failed"): 1,
        ("spread", "done"): 1,
    }
    assert counted(store) == states(store)
    with store.read() as connection:
        fresh = connection.execute(select(jobs.c.attempts).where(job_queue.in_state("pending")))
        assert {row.attempts for row in fresh} == {0}


def test_count_open_jobs_names_their_workers(store: Database) -> None:
    add_sources(store, 3)
    agenda = plan(store)
    worker = hire(store)
    take(store, agenda, worker, 2)
    with store.read() as connection:
        found = job_queue.count_open_jobs(connection, [("spread", agenda.variant_ids("spread")[0])])
    assert found == {("pending", None): 1, ("claimed", worker): 2}


# How the databases find jobs -----------------------------------------------------------------


def test_claim_uses_the_index_without_statistics(store: Database) -> None:
    with store.write() as connection:
        fresh = [{"stage": "spread", "subject_id": i, "variant_id": 1} for i in range(20_000)]
        insert_new(connection, jobs, fresh)
    agenda = plan(store)
    worker = hire(store)
    with watched(store, "UPDATE jobs") as statements, store.write() as connection:
        held = job_claims.claim(connection, worker, "spread", 1, 64)
        job_queue.settle(connection, worker, [JobResult(c, done()) for c in held], agenda)
        held = job_claims.claim(connection, worker, "spread", 1, 64)
        job_queue.release(connection, worker, held)
        job_claims.claim_suspects(connection, worker, "spread", 1, 1)
        reap(connection, worker)
    with store.write_engine.connect() as connection, connection.begin() as transaction:
        plans = ["\n".join(explained(connection, *statement)) for statement in statements]
        transaction.rollback()
    assert len(plans) == 7
    take_, settle, _, release, suspects, back, due = plans
    whole_key = "PRIMARY KEY (stage=? AND subject_id=? AND variant_id=?)"
    for found, index in ((take_, "ix_jobs_pending"), (suspects, "ix_jobs_suspect")):
        assert index in found
        assert (whole_key if store.is_sqlite else "pk_jobs") in found
    for found in (settle, release):
        assert (whole_key if store.is_sqlite else "Index Scan using pk_jobs") in found
    assert "ix_jobs_claimed" in back
    assert "ix_jobs_deferred" in due
    steps = [step for found in plans for step in found.splitlines() if "USING" not in step]
    assert scans(steps, "jobs") == []


# The truth, whatever happens -----------------------------------------------------------------


class QueueMachine(RuleBasedStateMachine):
    """Workers that claim, end, give back, die and wake up, in any order."""

    store: Database

    def __init__(self) -> None:
        super().__init__()
        with self.store.write() as connection:
            for name in ("jobs", "job_counters", "workers", "watermarks", "commit_horizons"):
                connection.execute(text(f"DELETE FROM {name}"))
        add_sources(self.store, 12)
        self.agenda = plan(self.store)
        self.total = sum(states(self.store).values())
        self.held: dict[int, list[Claim]] = {}
        self.zombies: dict[int, list[Claim]] = {}

    @rule(n=st.integers(1, 5))
    def somebody_claims(self, n: int) -> None:
        worker = hire(self.store) if len(self.held) < 3 else sorted(self.held)[0]
        self.held.setdefault(worker, []).extend(take(self.store, self.agenda, worker, n))

    @rule(state=st.sampled_from(["done", "rejected", "failed", "deferred"]), n=st.integers(1, 3))
    def somebody_ends(self, state: Any, n: int) -> None:
        for worker, claims in self.held.items():
            ended, self.held[worker] = claims[:n], claims[n:]
            outcome = Outcome(state, (), None if state == "done" else "word")
            assert end(self.store, self.agenda, worker, ended, outcome) == ended

    @rule()
    def somebody_gives_back(self) -> None:
        for worker, claims in self.held.items():
            with self.store.write() as connection:
                job_queue.release(connection, worker, claims)
            self.held[worker] = []

    @rule()
    def somebody_dies(self) -> None:
        if self.held:
            worker = sorted(self.held)[-1]
            expire(self.store, worker)
            self.zombies[worker] = self.held.pop(worker)
            with self.store.write() as connection:
                reap(connection, hire_within(connection), max_crashes=2)

    @rule()
    def a_zombie_wakes_up(self) -> None:
        for worker, claims in self.zombies.items():
            assert end(self.store, self.agenda, worker, claims, done(*_made("zombie"))) == []

    @rule(n=st.integers(1, 4))
    def suspects_are_taken(self, n: int) -> None:
        worker = hire(self.store)
        with self.store.write() as connection:
            variant = self.agenda.variant_ids("spread")[0]
            taken = job_claims.claim_suspects(connection, worker, "spread", variant, n)
        self.held.setdefault(worker, []).extend(taken)

    @rule()
    def time_passes(self) -> None:
        with self.store.write() as connection:
            reap(connection, hire_within(connection))

    @rule()
    def somebody_retries(self) -> None:
        with self.store.write() as connection:
            requeue(connection, states=("failed", "rejected"))

    @rule()
    def somebody_folds(self) -> None:
        with self.store.write() as connection:
            fold_counters(connection)

    @invariant()
    def counters_tell_the_truth(self) -> None:
        assert counted(self.store) == states(self.store)

    @invariant()
    def no_job_is_lost(self) -> None:
        assert sum(states(self.store).values()) == self.total

    @invariant()
    def what_is_claimed_is_held_by_the_living(self) -> None:
        with self.store.read() as connection:
            claimed = connection.execute(
                select(jobs.c.worker_id, jobs.c.subject_id).where(job_queue.in_state("claimed"))
            )
            known = {(w, c.subject_id) for w, claims in self.held.items() for c in claims}
            assert {tuple(row) for row in claimed} == known

    @invariant()
    def zombies_write_nothing(self) -> None:
        assert _rows(self.store, prompts) == 0


def hire_within(connection: Connection) -> int:
    return register_worker(connection, ["spread"], LEASE)


@pytest.mark.slow_on("postgres")
def test_counters_are_true_whatever_happens(store: Database) -> None:
    class OnThis(QueueMachine):
        pass

    OnThis.store = store
    few = 12 if store.is_sqlite else 5
    run_state_machine_as_test(
        OnThis,
        settings=settings(
            max_examples=few,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )


def test_fold_counters_by_two_at_once_counts_once(postgres_store: Database) -> None:
    gone = hire(postgres_store)
    with postgres_store.write() as connection:
        row = {"worker_id": gone, "stage": "s", "state": "done", "n": 5}
        insert_new(connection, job_counters, [row])
        connection.execute(update(workers).values(alive=0))
    with postgres_store.write_engine.connect() as one, one.begin():
        fold_counters(one)
        with postgres_store.write_engine.connect() as two:
            two.exec_driver_sql("SET lock_timeout = '100ms'")
            blocked = False
            try:
                fold_counters(two)
            except Exception as error:
                blocked = "lock timeout" in str(error)
            two.rollback()
        one.commit()
    assert blocked
    with postgres_store.write() as connection:
        fold_counters(connection)
    assert counted(postgres_store) == {("s", "done"): 5}


def test_small_pipeline_is_a_pipeline(store: Database) -> None:
    assert [stage.name for stage in TOYS] == ["spread", "answer", "judge"]
    assert plan(store).variant_ids("judge")
