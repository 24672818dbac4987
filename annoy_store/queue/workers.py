"""The workers of a store: registration, leases, and reclaiming the jobs of dead workers.

Decisions
- A worker is one row per process incarnation; ids are never used again. The lease belongs to that
  row and not to the jobs: one heartbeat serves all of them.
- Dead is a state and not an event: jobs are reclaimed from every worker that is not alive, so it
  makes no difference which worker noticed it, or when.
- Lease times come from the database's clock. A SQLite file has none of its own, only those of the
  processes: one whose clock is ahead must not declare the others dead. So there a process of this
  host that is running counts as alive whatever its lease says; a stopped one does not.
- A process of this host that has ended (by pid and start time) is dead at once, without waiting
  for its lease to expire.
- A job fails after `MAX_CRASHES` crashes of its worker; after more where it cannot be the cause.
"""

from __future__ import annotations

import logging
import os
import platform
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import psutil
from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from annoy_store.db.sql import clock, clock_is_local, reserve_ids
from annoy_store.db.tables import jobs, workers
from annoy_store.errors import LeaseLost
from annoy_store.queue.counters import add_to_counters, state_change
from annoy_store.queue.jobs import in_state

logger = logging.getLogger(__name__)

MAX_CRASHES = 3
CRASH_SAFE_FACTOR = 4
LEASE_LOST_MESSAGE = (
    "this worker could not reach the store for longer than its lease: it was declared dead, and "
    "other workers run its jobs; nothing is lost, start it again"
)
IS_ALIVE = workers.c.alive == literal_column("1")
_RENEW = (
    update(workers)
    .where(workers.c.id == bindparam("of_worker"), IS_ALIVE)
    .values(lease_until=clock() + bindparam("lease"))
)


@cache
def this_host() -> str:
    """Return a name for the scope in which a pid is unique: host, boot and pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    parts = [platform.node()]
    parts += [boot.read_text().strip()[:8]] if boot.exists() else []
    parts += [os.readlink(namespace)] if namespace.exists() else []
    return "/".join(parts)


def process_start(pid: int) -> str:
    """Return when a process of this host started; empty if there is none, or it is a zombie.

    Args:
        pid: the process id.

    Returns:
        On Linux the ticks since boot, which do not change when the clock is set (proc(5), field 22
        of /proc/PID/stat); elsewhere seconds since the epoch.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if stat[0] in "ZX" else stat[19]
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _process_start_elsewhere(pid)


def _process_start_elsewhere(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def register_worker(connection: Connection, stages: Sequence[str], lease_seconds: float) -> int:
    """Register this process as a worker.

    Args:
        connection: a write transaction.
        stages: names of the stages that it works on.
        lease_seconds: seconds until its lease expires unless it is renewed.

    Returns:
        The id of the worker.
    """
    (worker_id,) = reserve_ids(connection, workers, 1)
    connection.execute(
        insert(workers).values(
            id=worker_id,
            host=this_host(),
            pid=os.getpid(),
            process_start=process_start(os.getpid()),
            stages=" ".join(stages),
            alive=1,
            lease_until=clock() + lease_seconds,
            started_at=clock(),
        )
    )
    return worker_id


def unregister_worker(connection: Connection, worker_id: int) -> None:
    """Mark a worker as ended; the jobs that it still holds are reclaimed by others."""
    connection.execute(update(workers).where(workers.c.id == worker_id).values(alive=0))


def renew_lease(connection: Connection, worker_id: int, lease_seconds: float) -> None:
    """Renew a worker's lease.

    Args:
        connection: a write transaction.
        worker_id: the worker.
        lease_seconds: seconds from now until the lease expires.

    Raises:
        LeaseLost: the worker was declared dead.
    """
    alive = connection.execute(_RENEW, {"of_worker": worker_id, "lease": lease_seconds})
    if alive.rowcount != 1:
        raise LeaseLost(LEASE_LOST_MESSAGE)


def dead_local_workers(connection: Connection) -> list[int]:
    """Return the workers of this host that are marked alive although their process has ended."""
    chosen = select(workers.c.id, workers.c.pid, workers.c.process_start).where(
        IS_ALIVE, workers.c.host == this_host()
    )
    return [i for i, pid, start in connection.execute(chosen) if process_start(pid) != start]


def running_local_workers(connection: Connection) -> list[int]:
    """Return the workers of this host, other processes than this one, whose process is running."""
    chosen = select(workers.c.id, workers.c.pid, workers.c.process_start).where(
        IS_ALIVE, workers.c.host == this_host(), workers.c.pid != os.getpid()
    )
    return [i for i, pid, start in connection.execute(chosen) if _is_running(pid, start)]


def _is_running(pid: int, start: str) -> bool:
    try:
        stopped = psutil.Process(pid).status() in (
            psutil.STATUS_STOPPED,
            psutil.STATUS_TRACING_STOP,
        )
    except psutil.Error:
        return False
    return not stopped and bool(start) and process_start(pid) == start


def lease_expired(connection: Connection) -> ColumnElement[bool]:
    """Return the condition that a worker's lease has expired."""
    is_over = workers.c.lease_until < clock()
    if not clock_is_local(connection):
        return is_over
    return is_over & workers.c.id.not_in(running_local_workers(connection))


def live_workers(connection: Connection) -> list[int]:
    """Return the workers that are alive: with a valid lease, and on this host with a process."""
    holding = select(workers.c.id).where(IS_ALIVE, ~lease_expired(connection))
    gone = set(dead_local_workers(connection))
    return [i for i in connection.scalars(holding.order_by(workers.c.id)) if i not in gone]


def set_notice(connection: Connection, worker_id: int, notice: str) -> None:
    """Store why a worker waits, as a sentence for the status; an empty one if it does not."""
    change = update(workers).where(workers.c.id == worker_id)
    connection.execute(change.values(notice=notice or None))


def reap(
    connection: Connection,
    worker_id: int,
    crash_safe_stages: Sequence[str] = (),
    max_crashes: int = MAX_CRASHES,
) -> None:
    """Expire dead workers, reclaim their jobs, and make deferred jobs that are due pending.

    Args:
        connection: a write transaction.
        worker_id: the worker that does this; it is never declared dead here.
        crash_safe_stages: names of the stages whose jobs cannot crash their worker.
        max_crashes: crashes of workers after which a job fails.
    """
    dead = or_(lease_expired(connection), workers.c.id.in_(dead_local_workers(connection)))
    expired = connection.execute(
        update(workers).where(IS_ALIVE, workers.c.id != worker_id, dead).values(alive=0)
    ).rowcount
    if expired:
        logger.info("declared %d workers dead", expired)
    reclaim_jobs(connection, worker_id, crash_safe_stages, max_crashes)
    due = connection.execute(
        update(jobs)
        .where(in_state("deferred"), jobs.c.due_at <= clock())
        .values(state=literal_column("'pending'"), due_at=None)
        .returning(jobs.c.stage)
    )
    per_stage = Counter(row.stage for row in due)
    add_to_counters(connection, worker_id, state_change(per_stage, "deferred", "pending"))


def reclaim_jobs(
    connection: Connection,
    worker_id: int,
    crash_safe_stages: Sequence[str] = (),
    max_crashes: int = MAX_CRASHES,
) -> None:
    """Reclaim the jobs of workers that are not alive: suspect, or failed after too many crashes.

    Args:
        connection: a write transaction.
        worker_id: the worker whose counters record the changes.
        crash_safe_stages: names of the stages whose jobs cannot crash their worker.
        max_crashes: crashes of workers after which a job fails.
    """
    alive = select(workers.c.id).where(IS_ALIVE)
    too_many = jobs.c.crashes + 1 >= _allowed_crashes(crash_safe_stages, max_crashes)
    back = connection.execute(
        update(jobs)
        .where(in_state("claimed"), jobs.c.worker_id.not_in(alive))
        .values(
            state=case((too_many, "failed"), else_="suspect"),
            reason=case((too_many, "worker_died"), else_=None),
            crashes=jobs.c.crashes + 1,
            worker_id=None,
            claimed_at=None,
        )
        .returning(jobs.c.stage, jobs.c.state)
    )
    deltas: Counter[tuple[str, str]] = Counter()
    for row in back:
        deltas[row.stage, row.state] += 1
        deltas[row.stage, "claimed"] -= 1
    if deltas:
        logger.info("reclaimed jobs of dead workers: %s", dict(+deltas))
    add_to_counters(connection, worker_id, deltas)


def _allowed_crashes(crash_safe_stages: Sequence[str], max_crashes: int) -> ColumnElement[int]:
    more = max_crashes * CRASH_SAFE_FACTOR
    return case((jobs.c.stage.in_(list(crash_safe_stages)), more), else_=max_crashes)
