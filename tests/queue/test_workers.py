"""Workers: leases, and reclaiming the jobs of dead workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from sqlalchemy import select, update

from annoy_store.db.engine import Database
from annoy_store.db.tables import jobs, workers
from annoy_store.errors import LeaseLost
from annoy_store.queue import claims as job_claims
from annoy_store.queue.counters import funnel
from annoy_store.queue.jobs import Claim
from annoy_store.queue.variants import StagePlan
from annoy_store.queue.workers import (
    dead_local_workers,
    live_workers,
    process_start,
    reap,
    register_worker,
    renew_lease,
    this_host,
    unregister_worker,
)
from tests.support.small_pipeline import add_sources, plan


def claim(
    store: Database, agenda: StagePlan, worker: int, n: int = 9, stage: str = "spread"
) -> list[Claim]:
    with store.write() as connection:
        return job_claims.claim(connection, worker, stage, agenda.variant_ids(stage)[0], n)


def hire(store: Database, **columns: object) -> int:
    with store.write() as connection:
        worker = register_worker(connection, ["spread"], 30.0)
        if columns:
            connection.execute(update(workers).where(workers.c.id == worker).values(columns))
    return worker


def kept_up(store: Database, worker: int, **options: object) -> dict[str, dict[str, int]]:
    with store.write() as connection:
        reap(connection, worker, **options)  # type: ignore[arg-type]
        return funnel(connection)


def test_register_worker_makes_a_row_of_its_own(store: Database) -> None:
    first, second = hire(store), hire(store)
    assert first != second
    with store.read() as connection:
        row = connection.execute(select(workers).where(workers.c.id == second)).one()
    assert (row.pid, row.host, row.alive) == (os.getpid(), this_host(), 1)
    assert row.process_start == process_start(os.getpid()) != ""
    assert row.lease_until == pytest.approx(row.started_at + 30, abs=1)


def test_reap_declares_a_worker_with_an_expired_lease_dead(store: Database) -> None:
    add_sources(store, 3)
    agenda = plan(store)
    silent, other = hire(store), hire(store)
    claim(store, agenda, silent)
    assert kept_up(store, other) == {"spread": {"claimed": 3}}
    hire_elsewhere = update(workers).where(workers.c.id == silent)
    with store.write() as connection:
        connection.execute(hire_elsewhere.values(lease_until=1.0))
    assert kept_up(store, other) == {"spread": {"suspect": 3}}
    with pytest.raises(LeaseLost), store.write() as connection:
        renew_lease(connection, silent, 30.0)


def test_reclaim_jobs_whoever_noticed_the_death(store: Database) -> None:
    add_sources(store, 2)
    agenda = plan(store)
    gone, other = hire(store), hire(store)
    claim(store, agenda, gone)
    with store.write() as connection:
        unregister_worker(connection, gone)  # dead already, with jobs in hand: nobody is told
    assert kept_up(store, other) == {"spread": {"suspect": 2}}


def test_reap_declares_an_ended_process_dead_at_once(store: Database) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker = hire(store, pid=child.pid, process_start=process_start(child.pid))
    mine = hire(store)
    elsewhere = hire(store, pid=child.pid, process_start="1", host="elsewhere")
    reused = hire(store, process_start="1")
    with store.read() as connection:
        assert dead_local_workers(connection) == [reused]
    child.kill()
    while process_start(child.pid):  # a zombie counts as gone before anyone waits for it
        pass
    with store.read() as connection:
        assert dead_local_workers(connection) == [worker, reused]
    child.communicate()
    kept_up(store, mine)
    with store.read() as connection:
        alive = connection.scalars(select(workers.c.id).where(workers.c.alive == 1)).all()
    assert sorted(alive) == sorted([mine, elsewhere])


def test_reclaim_jobs_fails_a_job_after_max_crashes(store: Database) -> None:
    add_sources(store, 2)
    agenda = plan(store)
    mine = hire(store)
    variant = agenda.variant_ids("spread")[0]
    seen = []
    for _ in range(3):
        victim = hire(store)
        with store.write() as connection:
            for _ in range(2):
                job_claims.claim(connection, victim, "spread", variant, 1)
                job_claims.claim_suspects(connection, victim, "spread", variant, 1)
            unregister_worker(connection, victim)
        seen.append(kept_up(store, mine, max_crashes=3)["spread"])
    assert seen == [{"suspect": 2}, {"suspect": 2}, {"failed": 2}]
    with store.read() as connection:
        found = connection.execute(select(jobs.c.reason, jobs.c.crashes, jobs.c.worker_id))
        assert [tuple(row) for row in found] == [("worker_died", 3, None)] * 2


def test_reap_lets_crash_safe_stages_see_more_crashes(store: Database) -> None:
    add_sources(store, 1)
    agenda = plan(store)
    mine, victim = hire(store), hire(store)
    claim(store, agenda, victim)
    with store.write() as connection:
        unregister_worker(connection, victim)
    assert kept_up(store, mine, max_crashes=1, crash_safe_stages=["spread"]) == {
        "spread": {"suspect": 1}
    }


def test_reap_makes_due_jobs_pending(store: Database) -> None:
    add_sources(store, 2)
    agenda = plan(store)
    worker = hire(store)
    claim(store, agenda, worker)
    with store.write() as connection:
        for due, subject in ((1.0, 1), (9e9, 2)):
            connection.execute(
                update(jobs)
                .where(jobs.c.subject_id == subject)
                .values(state="deferred", due_at=due, worker_id=None)
            )
        reap(connection, worker)
        found = connection.execute(select(jobs.c.state, jobs.c.due_at).order_by(jobs.c.subject_id))
        assert [tuple(row) for row in found] == [("pending", None), ("deferred", 9e9)]


def test_reap_trusts_a_running_process_more_than_its_own_clock(store: Database) -> None:
    """On SQLite the clock is that of this process, which may be ahead; a server has one for all."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
    try:
        start = process_start(sleeper.pid)
        mine, other = hire(store), hire(store, pid=sleeper.pid, process_start=start, lease_until=1)
        kept_up(store, mine)
        assert is_alive(store, other) is store.is_sqlite
        if store.is_sqlite:
            with store.read() as connection:
                assert live_workers(connection) == [mine, other]
            sleeper.send_signal(signal.SIGSTOP)
            while psutil.Process(sleeper.pid).status() != psutil.STATUS_STOPPED:
                time.sleep(0.01)
            kept_up(store, mine)
            assert not is_alive(store, other)
    finally:
        sleeper.kill()
        sleeper.communicate()


def is_alive(store: Database, worker: int) -> bool:
    with store.read() as connection:
        return bool(connection.scalar(select(workers.c.alive).where(workers.c.id == worker)))
