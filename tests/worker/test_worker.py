"""The worker: it runs until no job is left, stops when told, and settles what cannot be written."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import event, func, select, text, update

from annoy_store.db.engine import Database
from annoy_store.db.tables import jobs, prompts, responses, samples, workers
from annoy_store.errors import EndpointUnavailable, LeaseLost, SandboxError
from annoy_store.interfaces import NewRow, Outcome, Row, StageContext, done
from annoy_store.queue.counters import funnel
from annoy_store.worker import job_manager
from annoy_store.worker.worker import Progress, by_stage
from tests.support.small_pipeline import (
    ANSWER,
    JUDGE,
    SPREAD,
    TOYS,
    ToyWorker,
    add_sources,
    answer,
    doing,
    plan,
    spread,
    unpinned,
)


def state(store: Database) -> dict[str, dict[str, int]]:
    with store.read() as connection:
        return funnel(connection)


def count(store: Database, table: Any) -> int:
    with store.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def test_worker_updates_statistics_after_many_new_jobs(postgres_store: Database) -> None:
    with postgres_store.write() as connection:  # before there are rows to analyse
        connection.execute(text("ALTER TABLE sources SET (autovacuum_enabled = false)"))
    add_sources(postgres_store, job_manager.ANALYSE_DATA_AT + 1)
    known = text("SELECT reltuples FROM pg_class WHERE relname = 'sources'")
    with postgres_store.read() as connection:
        assert connection.scalar(known) < job_manager.ANALYSE_DATA_AT
    ToyWorker(postgres_store, [SPREAD]).run()
    with postgres_store.read() as connection:
        assert connection.scalar(known) == job_manager.ANALYSE_DATA_AT + 1


def test_worker_runs_all_stages(store: Database) -> None:
    add_sources(store, 7)
    progress = ToyWorker(store).run()
    assert by_stage(progress) == {
        "answer": {"done": 21},
        "judge": {"done": 21},
        "spread": {"done": 7},
    }
    assert progress.enqueued == {"spread": 7}
    assert (count(store, prompts), count(store, responses), count(store, samples)) == (21, 21, 21)
    with store.read() as connection:
        assert connection.scalars(select(workers.c.alive)).all() == [0]


def test_worker_has_nothing_to_do_a_second_time(store: Database) -> None:
    add_sources(store, 2)
    ToyWorker(store).run()
    before = state(store)
    progress = ToyWorker(store).run()
    assert (progress.ended, progress.enqueued.total()) == (Counter(), 0)
    assert state(store) == before


def test_worker_runs_only_its_stages(store: Database) -> None:
    add_sources(store, 2)
    ToyWorker(store, stages=[SPREAD]).run()
    assert state(store) == {"spread": {"done": 2}, "answer": {"pending": 6}}


def test_worker_limit_holds_per_stage(store: Database) -> None:
    add_sources(store, 5)
    ToyWorker(store, limit=2).run()
    assert state(store) == {
        "spread": {"done": 2, "pending": 3},
        "answer": {"done": 2, "pending": 4},
        "judge": {"done": 2},
    }


def test_worker_fails_a_job_whose_stage_raises(store: Database) -> None:
    def work(row: Row, tools: StageContext) -> Outcome:
        if row["subject_id"] % 2:
            raise ValueError("cannot be")
        return spread(row, tools)

    add_sources(store, 4)
    progress = ToyWorker(store, [doing(SPREAD, work), ANSWER, JUDGE]).run()
    assert progress.reasons["spread", "ValueError"] == progress.failed == 2
    with store.read() as connection:
        found = connection.execute(select(jobs.c.detail).where(jobs.c.state == "failed"))
        assert {row.detail for row in found} == {"cannot be"}


def test_worker_fails_jobs_with_invalid_rows_alone(store: Database) -> None:
    def work(row: Row, tools: StageContext) -> Outcome:
        outcome = answer(row, tools)
        if row["subject_id"] == 2:
            values = {**outcome.rows[0].values, "teacher_id": 4711}
            return done(NewRow(responses, values))
        if row["subject_id"] == 3:
            return done(NewRow(samples, {}))
        return outcome

    add_sources(store, 2)
    progress = ToyWorker(store, [SPREAD, doing(ANSWER, work), JUDGE]).run()
    assert progress.ended["answer", "done"] == 4
    assert progress.reasons == {("answer", "IntegrityError"): 1, ("answer", "TypeError"): 1}
    assert count(store, responses) == 4


def test_worker_retries_a_sandbox_error_and_then_fails(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annoy_store.worker.executors.RETRY_SECONDS", 0.001)
    tries: Counter[int] = Counter()

    def work(row: Row, tools: StageContext) -> Outcome:
        tries[row["subject_id"]] += 1
        if row["subject_id"] == 1 or tries[row["subject_id"]] == 1:
            raise SandboxError("the house is on fire")
        return spread(row, tools)

    add_sources(store, 3)
    progress = ToyWorker(store, [doing(SPREAD, work), ANSWER, JUDGE]).run()
    assert tries == {1: 4, 2: 2, 3: 2}
    assert progress.reasons["spread", "sandbox_error"] >= 1
    assert state(store)["spread"] == {"done": 2, "failed": 1}


def test_worker_returns_all_jobs_of_an_unavailable_endpoint(store: Database) -> None:
    def work(row: Row, tools: StageContext) -> Outcome:
        raise EndpointUnavailable("no money")

    add_sources(store, 5)
    with pytest.raises(EndpointUnavailable, match="no money"):
        ToyWorker(store, [doing(SPREAD, work)]).run()
    assert state(store) == {"spread": {"pending": 5}}
    with store.read() as connection:
        assert set(connection.scalars(select(jobs.c.attempts))) == {0}


def test_worker_that_was_declared_dead_writes_nothing(store: Database) -> None:
    def work(row: Row, tools: StageContext) -> Outcome:
        with store.write() as connection:
            connection.execute(update(workers).values(alive=0))
        return spread(row, tools)

    add_sources(store, 3)
    with pytest.raises(LeaseLost):
        ToyWorker(store, [doing(SPREAD, work)]).run()
    assert count(store, prompts) == 0
    assert state(store) == {"spread": {"claimed": 3}}
    progress = ToyWorker(store).run()
    assert progress.ended["spread", "done"] == 3


def test_worker_releases_claims_it_does_not_know(store: Database) -> None:
    """A commit whose answer was lost: the claim is there, but nobody knows of it."""

    def work(row: Row, tools: StageContext) -> Outcome:
        if row["subject_id"] == 1:
            with store.write() as connection:
                third = update(jobs).where(jobs.c.subject_id == 3)
                connection.execute(
                    third.values(state="claimed", worker_id=tools.worker_id, attempts=1)
                )
        return spread(row, tools)

    add_sources(store, 3)
    plan(store)
    with store.write() as connection:  # the third is not among the first batch
        third = update(jobs).where(jobs.c.subject_id == 3)
        connection.execute(third.values(state="deferred", due_at=1e12))
    pipeline = [doing(SPREAD, work), ANSWER, JUDGE]
    assert ToyWorker(store, pipeline).run().ended["spread", "done"] == 3


def test_worker_runs_suspects_alone(store: Database) -> None:
    together: list[int] = []
    at_work: set[int] = set()
    lock = threading.Lock()

    def work(row: Row, tools: StageContext) -> Outcome:
        with lock:
            at_work.add(row["subject_id"])
            together.append(len(at_work))
        time.sleep(0.01)
        with lock:
            at_work.discard(row["subject_id"])
        return spread(row, tools)

    add_sources(store, 6)
    slow = doing(SPREAD, work, executor="sandbox")
    plan(store, [slow])
    with store.write() as connection:
        connection.execute(update(jobs).values(state="suspect", crashes=1))
    worker = ToyWorker(store, [slow])
    assert worker.run().ended == {("spread", "done"): 6}
    assert set(together) == {1}


def test_worker_runs_suspects_beside_a_busy_executor(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_manager, "SUSPECT_PAUSE_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("annoy_store.worker.worker.MAINTENANCE_SECONDS", 0.05)
    order: list[str] = []
    died = threading.Event()

    async def ask(row: Row, tools: StageContext) -> Outcome:
        await asyncio.sleep(0.002)
        order.append("asked")
        if order.count("asked") == 10:
            died.set()
        return answer(row, tools)

    def work(row: Row, tools: StageContext) -> Outcome:
        order.append("suspect" if row["subject_id"] == 1 else "fresh")
        return spread(row, tools)

    pipeline = [
        doing(SPREAD, work),
        doing(ANSWER, ask, executor="async", partitions=unpinned),
        JUDGE,
    ]
    add_sources(store, 60)
    plan(store, pipeline)
    with store.write() as connection:
        mine = update(jobs).where(jobs.c.stage == "spread", jobs.c.subject_id == 1)
        connection.execute(mine.values(state="deferred", due_at=1e12))

    def later() -> None:
        died.wait(60)
        with store.write() as connection:
            connection.execute(mine.values(state="suspect", due_at=None, crashes=1))

    worker = ToyWorker(store, pipeline)
    timer = threading.Thread(target=later)
    timer.start()
    progress = worker.run()
    timer.join()
    assert progress.ended["answer", "done"] == 180
    assert order.index("suspect") < len(order) - 4


def test_worker_finishes_jobs_in_flight_on_stop(store: Database) -> None:
    began, go_on = threading.Event(), threading.Event()

    def work(row: Row, tools: StageContext) -> Outcome:
        began.set()
        go_on.wait(10)
        return spread(row, tools)

    add_sources(store, 40)
    worker = ToyWorker(store, [doing(SPREAD, work, executor="sandbox"), ANSWER, JUDGE])
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert began.wait(10)
    worker.stop()
    time.sleep(0.1)
    go_on.set()
    thread.join(20)
    found = state(store)["spread"]
    assert found["done"] >= 2
    assert found == {"done": found["done"], "pending": 40 - found["done"]}


def test_worker_waits_for_other_workers_and_names_them(store: Database) -> None:
    began, go_on = threading.Event(), threading.Event()

    def work(row: Row, tools: StageContext) -> Outcome:
        began.set()
        go_on.wait(10)
        return spread(row, tools)

    add_sources(store, 1)
    slowly = doing(SPREAD, work)
    slow = ToyWorker(store, [slowly, ANSWER, JUDGE], stages=[slowly])
    thread = threading.Thread(target=slow.run)
    thread.start()
    assert began.wait(10)
    waited: list[dict[tuple[str, int | None], int]] = []

    def note(progress: Progress) -> None:
        if progress.waiting_for:
            waited.append(progress.waiting_for)
            go_on.set()

    progress = ToyWorker(store, on_progress=note).run()
    thread.join()
    assert ("claimed", 1) in waited[0]
    assert progress.ended["judge", "done"] == 3


def test_worker_with_watch_finds_later_rows(store: Database) -> None:
    seen = threading.Event()

    def note(progress: Progress) -> None:
        if progress.ended["judge", "done"] == 3:
            seen.set()

    worker = ToyWorker(store, watch=True, on_progress=note)
    thread = threading.Thread(target=worker.run)
    thread.start()
    time.sleep(0.2)
    add_sources(store, 1)
    assert seen.wait(20)
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_worker_settles_and_claims_in_one_transaction(store: Database) -> None:
    """40 sources and all that follows: some commits, not some per job."""
    commits: list[int] = []
    event.listen(store.write_engine, "commit", lambda _: commits.append(1))
    add_sources(store, 40)
    assert ToyWorker(store).run().ended.total() == 280
    assert len(commits) < 40


@pytest.mark.parametrize("lane", ["inline", "sandbox"])
def test_workers_share_the_jobs(store: Database, lane: Any) -> None:
    add_sources(store, 30)
    pipeline = [doing(stage, stage.run, executor=lane) for stage in TOYS]  # type: ignore[arg-type]
    totals: list[int] = []

    def one() -> None:
        totals.append(ToyWorker(store, pipeline).run().ended.total())

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(totals) == 210
    assert (count(store, prompts), count(store, samples)) == (90, 90)
