"""Open jobs are never stranded: not by a changed policy, not by a bound lowered and raised."""

from __future__ import annotations

from sqlalchemy import select

from annoy_store.db.engine import Store
from annoy_store.db.insert import write
from annoy_store.db.tables import jobs
from annoy_store.interfaces import Outcome
from annoy_store.queue import jobs as job_queue
from annoy_store.queue.counters import funnel
from annoy_store.queue.enqueue import plan_all, replan
from annoy_store.queue.variants import Agenda, draw_up
from annoy_store.queue.workers import enlist
from annoy_store.records.policy import set_policy
from annoy_store.stages import PIPELINE, STAGES
from tests.support import factories


def _planned(store: Store, **policy: str) -> Agenda:
    with store.write() as connection:
        if policy:
            set_policy(connection, policy)
        agenda = draw_up(connection, PIPELINE)
        plan_all(connection, agenda)
    return agenda


def _given(store: Store) -> Agenda:
    with store.write() as connection:
        write(connection, [factories.source("a = 1"), factories.source("b = 2")])
    return _planned(store)


def test_a_changed_policy_takes_the_pending_jobs_along(store: Store) -> None:
    before = _given(store)
    after = _planned(store, max_prompt_chars="5000")
    assert before.claimable("transform") != after.claimable("transform")
    with store.write() as connection:
        worker = enlist(connection, ["transform"], 30)
        [variant] = after.claimable("transform")
        assert len(job_queue.claim(connection, worker, "transform", variant, 10)) == 2


def test_a_job_with_a_twin_is_superseded(store: Store) -> None:
    _given(store)
    with store.write() as connection:
        set_policy(connection, {"max_prompt_chars": "5000"})
        agenda = draw_up(connection, PIPELINE)
        assert replan(connection, agenda, STAGES["transform"]) == 2
    _planned(store)
    with store.read() as connection:
        states = connection.execute(select(jobs.c.state, jobs.c.reason)).all()
        assert sorted(tuple(map(str, s)) for s in states) == [
            ("done", "superseded"), ("done", "superseded"), ("pending", "None"),
            ("pending", "None"),
        ]  # fmt: skip
        assert funnel(connection)["transform"] == {"done": 2, "pending": 2}


def test_what_was_not_wanted_is_looked_at_again_when_a_bound_moves(store: Store) -> None:
    from tests.stages.test_predict import checked

    with store.write() as connection:
        write(connection, checked([0, 2, 4]))
    agenda = _planned(store)
    with store.write() as connection:
        worker = enlist(connection, ["predict"], 30)
        [variant] = agenda.claimable("predict")
        claims = job_queue.claim(connection, worker, "predict", variant, 10)
        unwanted = Outcome("rejected", (), "not_wanted")
        job_queue.settle(connection, worker, [job_queue.Ended(c, unwanted) for c in claims], agenda)
    _planned(store, pairs_per_sample="2")
    with store.read() as connection:
        assert funnel(connection)["predict"] == {"pending": 3}
