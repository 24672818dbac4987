"""Open jobs move to the active variant, and are requeued when limits change."""

from __future__ import annotations

from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import jobs
from annoy_store.interfaces import Outcome
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs as job_queue
from annoy_store.queue.counters import funnel
from annoy_store.queue.enqueue import enqueue_again, enqueue_all
from annoy_store.queue.variants import StagePlan, load_plan
from annoy_store.queue.workers import register_worker
from annoy_store.stages import PIPELINE, stages_named
from annoy_store.tasks.policy import set_policy
from tests.support import factories


def _planned(store: Database, **policy: str) -> StagePlan:
    with store.write() as connection:
        if policy:
            set_policy(connection, policy)
        agenda = load_plan(connection, PIPELINE)
        enqueue_all(connection, agenda)
    return agenda


def _given(store: Database) -> StagePlan:
    with store.write() as connection:
        insert_rows(connection, [factories.source("a = 1"), factories.source("b = 2")])
    return _planned(store)


def test_move_to_active_variant_takes_pending_jobs_along(store: Database) -> None:
    before = _given(store)
    after = _planned(store, max_prompt_chars="5000")
    assert before.variant_ids("transform") != after.variant_ids("transform")
    with store.write() as connection:
        worker = register_worker(connection, ["transform"], 30)
        [variant] = after.variant_ids("transform")
        assert len(job_claims.claim(connection, worker, "transform", variant, 10)) == 2


def test_move_to_active_variant_supersedes_a_duplicate(store: Database) -> None:
    _given(store)
    with store.write() as connection:
        set_policy(connection, {"max_prompt_chars": "5000"})
        agenda = load_plan(connection, PIPELINE)
        assert enqueue_again(connection, agenda, stages_named("transform")[0]) == 2
    _planned(store)
    with store.read() as connection:
        states = connection.execute(select(jobs.c.state, jobs.c.reason)).all()
        assert sorted(tuple(map(str, s)) for s in states) == [
            ("done", "superseded"),
            ("done", "superseded"),
            ("pending", "None"),
            ("pending", "None"),
        ]
        assert funnel(connection)["transform"] == {"done": 2, "pending": 2}


def test_requeue_unwanted_when_a_limit_changes(store: Database) -> None:
    from tests.stages.test_predict import checked

    with store.write() as connection:
        insert_rows(connection, checked([0, 2, 4]))
    agenda = _planned(store)
    with store.write() as connection:
        worker = register_worker(connection, ["predict"], 30)
        claims = [
            claim
            for variant in agenda.variant_ids("predict")
            for claim in job_claims.claim(connection, worker, "predict", variant, 10)
        ]
        unwanted = Outcome("rejected", (), "not_wanted")
        job_queue.settle(
            connection, worker, [job_queue.JobResult(c, unwanted) for c in claims], agenda
        )
    _planned(store, pairs_per_sample="2")
    with store.read() as connection:
        assert funnel(connection)["predict"] == {"pending": 6}
