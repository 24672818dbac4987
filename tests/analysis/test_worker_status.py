"""The status of workers: rates, claims, stuck and suspect jobs."""

from __future__ import annotations

import platform
from typing import Any

import pytest
from sqlalchemy import insert, update

from annoy_store.analysis.status import StoreStatus, store_status
from annoy_store.db.engine import Database
from annoy_store.db.sql import now
from annoy_store.db.tables import jobs, workers
from annoy_store.inference.spend import Usage
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs as job_queue
from annoy_store.queue import workers as worker_leases
from annoy_store.queue.counters import add_to_counters
from annoy_store.stages import PIPELINE
from tests.support.small_pipeline import add_sources, plan

pytestmark = pytest.mark.slow_on("postgres")


def read_status(store: Database, before: Usage | None = None) -> StoreStatus:
    return store_status(store, PIPELINE, before)


def test_worker_status_lists_living_workers_and_their_claims(store: Database) -> None:
    with store.write() as connection:
        worker = worker_leases.register_worker(connection, ["parse", "verify"], 30.0)
        gone = worker_leases.register_worker(connection, ["parse"], 30.0)
        worker_leases.unregister_worker(connection, gone)
        row = {"stage": "parse", "variant_id": 1, "state": "claimed", "worker_id": worker}
        connection.execute(insert(jobs), [{"subject_id": i, **row} for i in range(3)])
        late = {"stage": "complete", "variant_id": 1, "state": "deferred", "due_at": 0.0}
        connection.execute(insert(jobs).values(subject_id=1, **late))
    at = read_status(store)
    (alive,) = at.workers
    assert (alive["id"], alive["jobs"], alive["stages"]) == (worker, 3, ["parse", "verify"])
    assert 0 < alive["lease_s"] <= 30
    assert "/" not in alive["host"]
    assert at.next_due == 0.0


def claim(store: Database, worker: int, subjects: range, ago: float = 0.0) -> None:
    row = {"stage": "parse", "variant_id": 1, "state": "claimed", "worker_id": worker}
    with store.write() as connection:
        at = now(connection) - ago
        connection.execute(
            insert(jobs), [{"subject_id": i, "claimed_at": at, **row} for i in subjects]
        )


def register(store: Database, **columns: Any) -> int:
    with store.write() as connection:
        worker = worker_leases.register_worker(connection, ["parse"], 30.0)
        columns = {key: value(now(connection)) for key, value in columns.items()}
        if columns:
            connection.execute(update(workers).where(workers.c.id == worker).values(**columns))
    return worker


def test_worker_status_rate_counts_ended_jobs_since_start(store: Database) -> None:
    slow = register(store, started_at=lambda at: at - 12_000, host=lambda _: "far/boot")
    quick = register(store, started_at=lambda at: at - 6_000)
    with store.write() as connection:
        add_to_counters(connection, slow, {("parse", "done"): 800, ("parse", "rejected"): 200})
        add_to_counters(connection, quick, {("parse", "done"): 3000, ("parse", "claimed"): 5})
    shown = read_status(store).as_dict()
    rates = {w["id"]: (w["ended"], round(w["per_minute"])) for w in shown["workers"]}
    assert rates == {slow: (1000, 5), quick: (3000, 30)}
    assert shown["per_minute"] == pytest.approx(35, abs=2)
    assert {name: h["workers"] for name, h in shown["hosts"].items()} == {
        "far": 1,
        platform.node(): 1,
    }


def test_worker_status_has_the_oldest_claim(store: Database) -> None:
    assert read_status(store).worker_status.oldest_claim is None
    first, second = register(store), register(store)
    claim(store, first, range(1, 3), ago=5)
    claim(store, second, range(3, 4), ago=90)
    oldest = read_status(store).as_dict()["oldest_claim"]
    assert (oldest["stage"], oldest["subject"], oldest["worker"]) == ("parse", 3, second)
    assert 89 < oldest["for_s"] < 100


def test_worker_status_has_the_time_of_a_claim(store: Database) -> None:
    add_sources(store, 2)
    plan(store)
    worker = register(store)
    with store.write() as connection:
        (first, second) = job_claims.claim(connection, worker, "spread", 1, 2)
    assert read_status(store).worker_status.oldest_claim == {
        "stage": "spread",
        "subject": first.subject_id,
        "worker": worker,
        "for_s": pytest.approx(10, abs=10),
    }
    with store.write() as connection:
        job_queue.release(connection, worker, [first, second])
    assert read_status(store).worker_status.oldest_claim is None


def test_worker_status_counts_claims_of_dead_workers_as_stuck(store: Database) -> None:
    working = register(store)
    silent = register(store, lease_until=lambda at: at - 1, host=lambda _: "far")
    killed = register(store, process_start=lambda _: "another time")
    for worker, subjects in ((working, range(3)), (silent, range(3, 5)), (killed, range(5, 6))):
        claim(store, worker, subjects, ago=worker)
    shown = read_status(store).as_dict()
    assert {w["id"]: w["alive"] for w in shown["workers"]} == {
        working: True,
        silent: False,
        killed: False,
    }
    assert shown["n_stuck"] == 3
    assert (shown["stuck"][0]["subject"], shown["stuck"][0]["worker"]) == (5, killed)


def test_worker_status_lists_suspects_by_crashes(store: Database) -> None:
    row = {"stage": "generate", "variant_id": 1, "state": "suspect"}
    with store.write() as connection:
        connection.execute(
            insert(jobs), [{"subject_id": i, "crashes": i % 3, **row} for i in range(1, 6)]
        )
        add_to_counters(connection, 0, {("generate", "suspect"): 5})
    suspects = read_status(store).as_dict()["suspects"]
    assert len(suspects) == 5
    assert suspects[0]["crashes"] == 2
