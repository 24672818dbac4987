"""Two machines, a database on a third, and cables between them that are cut while all work."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from annoy_store.db.engine import Database, connect
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import upgrade
from annoy_store.db.tables import jobs, workers
from annoy_store.queue.counters import funnel
from annoy_store.queue.jobs import in_state
from annoy_store.queue.workers import IS_ALIVE
from tests.support.crash_harness import findings
from tests.support.factories import source
from tests.support.network_namespaces import Machine, machines, postgres_in

LEASE = 3.0
DECLARED_DEAD = 3
IMPATIENT = (
    "connect_timeout=2&keepalives_idle=1&keepalives_interval=1&keepalives_count=1"
    "&tcp_user_timeout=700&options=-c%20tcp_user_timeout%3D1500"
)
"""What the store's URL says so that a dead link is noticed well within the short lease."""

WORKER = """
import sys
from tests.support.crash_harness import worker
sys.exit(worker(sys.argv[1], False, float(sys.argv[2])))
"""


@dataclass
class Fleet:
    """A store, and workers on machines that reach it over the network."""

    store: Database
    machines: list[Machine]
    fed: int = 0
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, machine: Machine) -> subprocess.Popen[str]:
        url = f"postgresql://postgres@{machine.server_address}/postgres?{IMPATIENT}"
        self.started.append(machine.start(sys.executable, "-c", WORKER, url, str(LEASE)))
        return self.started[-1]

    def feed_until(self, happened: Callable[[], bool], seconds: float = 30) -> None:
        """See that nobody runs out of work until something has happened."""
        until = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < until, self.store.transact(funnel)
            if self.count("pending") + self.unplanned() < 200:
                rows = [source(f"x = {i}\n") for i in range(self.fed, self.fed + 40)]
                self.store.transact(lambda c, r=rows: insert_rows(c, r))
                self.fed += 40
            time.sleep(0.05)

    def feed_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self.feed_until(lambda: time.monotonic() > until)

    def unplanned(self) -> int:
        """Sources that nobody has entered a job for: workers do that when they have nothing else."""
        return self.fed - sum(self.store.transact(funnel).get("spread", {}).values())

    def count(self, *states: str) -> int:
        found = self.store.transact(funnel)
        return sum(of.get(state, 0) for of in found.values() for state in states)

    def alive(self, machine: Machine) -> set[int]:
        with self.store.read() as connection:
            here = workers.c.host.startswith(f"{machine.name}/")
            return set(connection.scalars(select(workers.c.id).where(IS_ALIVE, here)))

    def cut_in_mid_transaction(self, machine: Machine) -> None:
        """Pull the cable while the server waits for the rest of a transaction, its locks held."""
        for _ in range(200):
            machine.cut()
            if all(self.in_transaction(machine) for _ in range(3)):
                return
            machine.restore()
            self.feed_for(0.3)
        raise AssertionError("the cable was never cut in the middle of a transaction")

    def in_transaction(self, machine: Machine) -> bool:
        """True when a transaction of a machine has begun to write and waits for its next words."""
        time.sleep(0.05)
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE client_addr = cast(:there AS inet)"
            " AND state = 'idle in transaction' AND backend_xid IS NOT NULL"
        )
        with self.store.read() as connection:
            return bool(connection.scalar(waiting, {"there": machine.address}))

    def held_by(self, worker: int) -> int:
        with self.store.read() as connection:
            mine = select(func.count()).where(in_state("claimed"), jobs.c.worker_id == worker)
            return connection.scalar(mine) or 0


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    folder = Path(tempfile.mkdtemp(prefix="annoy-net-"))
    with machines(2) as (hub, made), postgres_in(hub, folder) as url:
        store = connect(url)
        upgrade(store)
        fleet = Fleet(store, made)
        yield fleet
        for process in fleet.started:
            process.kill()
            process.wait()
        store.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_cable_is_cut_and_mended(fleet: Fleet) -> None:
    here, there = fleet.machines
    fleet.feed_until(lambda: fleet.fed > 0)
    staying, leaving = fleet.start(here), fleet.start(there)
    fleet.feed_until(lambda: bool(fleet.alive(here) and fleet.alive(there)))
    (survivor,), (lost,) = fleet.alive(here), fleet.alive(there)

    here.cut()  # shorter than the lease: nobody is declared dead
    fleet.feed_for(LEASE / 3)
    here.restore()

    fleet.cut_in_mid_transaction(there)  # longer than the lease: others do the work
    before = fleet.count("done")
    fleet.feed_until(lambda: not fleet.alive(there) and not fleet.held_by(lost))
    fleet.feed_until(lambda: fleet.count("done") > before + 100)
    there.restore()
    fleet.feed_until(lambda: leaving.poll() is not None)
    assert leaving.returncode == DECLARED_DEAD
    assert fleet.alive(here) == {survivor}

    again = fleet.start(there)
    fleet.feed_until(lambda: bool(fleet.alive(there)))
    assert [staying.wait(60), again.wait(60)] == [0, 0]
    assert findings(fleet.store) == []
