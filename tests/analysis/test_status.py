"""How a store stands: the numbers of the status are those of the tables."""

from __future__ import annotations

import platform
from typing import Any

import pytest
from sqlalchemy import insert, update

from annoy_store.analysis.status import StoreStatus, store_status
from annoy_store.db.engine import Database
from annoy_store.db.sql import now
from annoy_store.db.states import STAGE_NAMES
from annoy_store.db.tables import attempts, calls, jobs, prices, prompts, teachers, workers
from annoy_store.inference.spend import Usage
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs as job_queue
from annoy_store.queue import workers as worker_leases
from annoy_store.queue.counters import add_to_counters
from annoy_store.stages import PIPELINE
from tests.support import factories as make
from tests.support.small_pipeline import add_sources, plan

PRICE = {"model": "m", "input": 1.0, "cached": 0.1, "output": 2.0}


def look(store: Database, before: Usage | None = None) -> StoreStatus:
    return store_status(store, PIPELINE, before)


def teacher(store: Database, teacher_id: int, backend: str, model: str) -> None:
    row = {"digest": f"t{teacher_id}", "backend": backend, "model": model, "base_url": ""}
    with store.write() as connection:
        connection.execute(insert(teachers).values(id=teacher_id, parameters="{}", **row))


def attempt(store: Database, teacher_id: int, **columns: Any) -> None:
    row = {"call_id": 1, "teacher_id": teacher_id, "worker_id": 1, "latency_ms": 1.0}
    row |= {"started_at": "2026-06-01T00:00:00.000Z", "status": "ok"}
    with store.write() as connection:
        connection.execute(insert(attempts).values(**row | columns))


@pytest.fixture
def asked(store: Database) -> Database:
    """A store with a call that can be tried."""
    prompt = {"id": 1, "digest": "p", "template": "t", "template_digest": "d", "n_chars": 1}
    with store.write() as connection:
        connection.execute(insert(prompts).values(messages="[]", **prompt))
        connection.execute(
            insert(calls).values(id=1, prompt_id=1, sample_no=0, pinned_teacher_id=0)
        )
    return store


def test_an_empty_store_says_what_to_type(store: Database) -> None:
    at = look(store)
    assert set(at.tables.values()) == {0}
    assert at.next_step().startswith("annoy ingest")
    assert at.usage.cost_usd == 0.0


def test_the_shape_of_the_json(sqlite_store: Database) -> None:
    told = look(sqlite_store).as_dict()
    assert {"store", "schema", "tables", "stages", "tokens", "cost_usd"} <= told.keys()
    assert list(told["stages"]) == list(STAGE_NAMES)
    assert told["tokens"] == {"prompt": 0, "cached": 0, "completion": 0, "reasoning": 0}


def test_new_sources_are_wanted(store: Database) -> None:
    with store.write() as connection:
        make.write_all(connection, [make.source(f"x = {i}") for i in range(3)])
    at = look(store)
    assert (at.tables["sources"], at.wanted["transform"]) == (3, 3)
    assert at.next_step().startswith("annoy run")


def test_jobs_are_those_of_the_counters(store: Database) -> None:
    with store.write() as connection:
        add_to_counters(connection, 1, {("parse", "done"): 3, ("parse", "failed"): 1})
        add_to_counters(connection, 2, {("parse", "done"): -1})
    at = look(store)
    assert at.stages["parse"] == {"done": 2, "failed": 1}
    assert (at.total("done", "failed"), at.total("pending")) == (3, 0)


def test_tokens_and_money_at_the_price_of_their_time(asked: Database) -> None:
    teacher(asked, 5, "openai", "m")
    with asked.write() as connection:
        connection.execute(insert(prices).values(from_time="2026-01-01T00:00:00.000Z", **PRICE))
        dearer = PRICE | {"input": 10.0}
        connection.execute(insert(prices).values(from_time="2026-07-01T00:00:00.000Z", **dearer))
    used = {"prompt_tokens": 1_000_000, "cached_tokens": 500_000, "completion_tokens": 1_000_000}
    attempt(asked, 5, **used)
    first = look(asked).usage
    assert first.tokens == {
        "prompt": 1_000_000,
        "cached": 500_000,
        "completion": 1_000_000,
        "reasoning": 0,
    }
    assert first.cost_usd == pytest.approx(0.5 + 0.05 + 2.0)
    attempt(asked, 5, **used, started_at="2026-08-01T00:00:00.000Z")
    assert look(asked).usage.cost_usd == pytest.approx(2.55 + 5.0 + 0.05 + 2.0)
    assert look(asked, first).usage == look(asked).usage
    assert look(asked, look(asked).usage).usage == look(asked).usage


def test_cost_is_unknown_when_an_answer_has_no_price(asked: Database) -> None:
    teacher(asked, 5, "openai", "unpriced")
    teacher(asked, 6, "tracer", "rules")
    attempt(asked, 6)
    assert look(asked).usage.cost_usd == 0.0
    attempt(asked, 5, status="failed")
    assert look(asked).usage.cost_usd == 0.0
    attempt(asked, 5, prompt_tokens=7, completion_tokens=7)
    usage = look(asked).usage
    assert (usage.cost_usd, usage.known_usd, usage.unpriced, usage.attempts) == (None, 0.0, 1, 3)


def test_workers_alive_with_what_they_hold(store: Database) -> None:
    with store.write() as connection:
        worker = worker_leases.register_worker(connection, ["parse", "verify"], 30.0)
        gone = worker_leases.register_worker(connection, ["parse"], 30.0)
        worker_leases.unregister_worker(connection, gone)
        row = {"stage": "parse", "variant_id": 1, "state": "claimed", "worker_id": worker}
        connection.execute(insert(jobs), [{"subject_id": i, **row} for i in range(3)])
        late = {"stage": "complete", "variant_id": 1, "state": "deferred", "due_at": 0.0}
        connection.execute(insert(jobs).values(subject_id=1, **late))
    at = look(store)
    (alive,) = at.workers
    assert (alive["id"], alive["jobs"], alive["stages"]) == (worker, 3, ["parse", "verify"])
    assert 0 < alive["lease_s"] <= 30
    assert "/" not in alive["host"]
    assert at.next_due == 0.0


# Who works, and what wants a look ------------------------------------------------------------


def claim(store: Database, worker: int, subjects: range, ago: float = 0.0) -> None:
    row = {"stage": "parse", "variant_id": 1, "state": "claimed", "worker_id": worker}
    with store.write() as connection:
        at = now(connection) - ago
        connection.execute(
            insert(jobs), [{"subject_id": i, "claimed_at": at, **row} for i in subjects]
        )


def enlisted(store: Database, **columns: Any) -> int:
    with store.write() as connection:
        worker = worker_leases.register_worker(connection, ["parse"], 30.0)
        columns = {key: value(now(connection)) for key, value in columns.items()}
        if columns:
            connection.execute(update(workers).where(workers.c.id == worker).values(**columns))
    return worker


def test_a_rate_is_what_a_worker_ended_since_it_started(store: Database) -> None:
    slow = enlisted(store, started_at=lambda at: at - 120, host=lambda _: "far/boot")
    quick = enlisted(store, started_at=lambda at: at - 60)
    with store.write() as connection:
        add_to_counters(connection, slow, {("parse", "done"): 8, ("parse", "rejected"): 2})
        add_to_counters(connection, quick, {("parse", "done"): 30, ("parse", "claimed"): 5})
    told = look(store).as_dict()
    rates = {w["id"]: (w["ended"], round(w["per_minute"])) for w in told["workers"]}
    assert rates == {slow: (10, 5), quick: (30, 30)}
    assert round(told["per_minute"]) == 35
    assert {name: h["workers"] for name, h in told["hosts"].items()} == {
        "far": 1,
        platform.node(): 1,
    }


def test_the_oldest_claim_is_told(store: Database) -> None:
    assert look(store).roster.oldest_claim is None
    first, second = enlisted(store), enlisted(store)
    claim(store, first, range(1, 3), ago=5)
    claim(store, second, range(3, 4), ago=90)
    oldest = look(store).as_dict()["oldest_claim"]
    assert (oldest["stage"], oldest["subject"], oldest["worker"]) == ("parse", 3, second)
    assert 89 < oldest["for_s"] < 100


def test_a_worker_that_claims_says_since_when(store: Database) -> None:
    add_sources(store, 2)
    plan(store)
    worker = enlisted(store)
    with store.write() as connection:
        (first, second) = job_claims.claim(connection, worker, "spread", 1, 2)
    assert look(store).roster.oldest_claim == {
        "stage": "spread",
        "subject": first.subject_id,
        "worker": worker,
        "for_s": pytest.approx(10, abs=10),
    }
    with store.write() as connection:
        job_queue.release(connection, worker, [first, second])
    assert look(store).roster.oldest_claim is None


def test_claims_of_those_who_are_gone_are_stuck(store: Database) -> None:
    working = enlisted(store)
    silent = enlisted(store, lease_until=lambda at: at - 1, host=lambda _: "far")
    killed = enlisted(store, process_start=lambda _: "another time")
    for worker, subjects in ((working, range(3)), (silent, range(3, 5)), (killed, range(5, 6))):
        claim(store, worker, subjects, ago=worker)
    told = look(store).as_dict()
    assert {w["id"]: w["alive"] for w in told["workers"]} == {
        working: True,
        silent: False,
        killed: False,
    }
    assert told["n_stuck"] == 3
    assert (told["stuck"][0]["subject"], told["stuck"][0]["worker"]) == (5, killed)


def test_suspects_are_told_the_deadliest_first(store: Database) -> None:
    row = {"stage": "generate", "variant_id": 1, "state": "suspect"}
    with store.write() as connection:
        connection.execute(
            insert(jobs), [{"subject_id": i, "crashes": i % 3, **row} for i in range(1, 6)]
        )
        add_to_counters(connection, 0, {("generate", "suspect"): 5})
    suspects = look(store).as_dict()["suspects"]
    assert len(suspects) == 5
    assert suspects[0]["crashes"] == 2
