"""Workers of a store, their rates, the oldest claim, and stuck and suspect jobs.

Decisions
- A worker's rate is the number of jobs it has ended since it started, from its own counters: two
  numbers and no scan.
- A claim is stuck when its worker is dead: its lease has expired, or it was a process of this host
  that has ended. Any run reclaims it; without a run it would wait for ever, so the status shows it.
- Claims and suspects are read from partial indexes: the cost depends on open jobs, not on done ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from annoy_store.db.sql import now
from annoy_store.db.states import ENDED_STATES
from annoy_store.db.tables import job_counters, jobs, workers
from annoy_store.queue.jobs import in_state
from annoy_store.queue.workers import IS_ALIVE, live_workers

MAX_EXAMPLES = 20


@dataclass(frozen=True)
class WorkerStatus:
    """The registered workers, and the jobs that need attention. Times are in seconds.

    Attributes:
        workers: The workers that have not unregistered.
        hosts: Totals of the living workers by host.
        oldest_claim: The claim that is held longest; None without claims.
        n_stuck: Number of claims of dead workers.
        stuck: The oldest of these claims, at most `MAX_EXAMPLES`.
        suspects: Suspect jobs with the most crashes, at most `MAX_EXAMPLES`.
    """

    workers: list[dict[str, Any]]
    hosts: Mapping[str, dict[str, Any]]
    oldest_claim: dict[str, Any] | None
    n_stuck: int
    stuck: list[dict[str, Any]]
    suspects: list[dict[str, Any]]

    @property
    def per_minute(self) -> float:
        """Jobs per minute of all living workers, averaged since each started."""
        rates: list[float] = [w["per_minute"] for w in self.workers if w["alive"]]
        return round(sum(rates), 1)

    def as_dict(self) -> dict[str, Any]:
        """Return the values as `annoy status --json` prints them."""
        return {
            "workers": self.workers,
            "hosts": dict(self.hosts),
            "per_minute": self.per_minute,
            "oldest_claim": self.oldest_claim,
            "n_stuck": self.n_stuck,
            "stuck": self.stuck,
            "suspects": self.suspects,
        }


def worker_status(connection: Connection) -> WorkerStatus:
    """Return the registered workers and their claims."""
    at = now(connection)
    live = set(live_workers(connection))
    claimed = _claimed_counts(connection)
    ended = _ended_counts(connection)
    chosen = select(workers).where(IS_ALIVE).order_by(workers.c.id)
    present = [
        _worker(row, at, claimed[row.id], ended[row.id], row.id in live)
        for row in connection.execute(chosen)
    ]
    alive = {w["id"]: w for w in present if w["alive"]}
    n_stuck = sum(n for worker, n in claimed.items() if worker not in alive)
    return WorkerStatus(
        present,
        _hosts(present),
        _oldest(connection, at),
        n_stuck,
        _stuck(connection, at, list(alive)) if n_stuck else [],
        _suspects(connection),
    )


def _claimed_counts(connection: Connection) -> Counter[int]:
    chosen = select(jobs.c.worker_id, func.count().label("n")).where(in_state("claimed"))
    rows = connection.execute(chosen.group_by(jobs.c.worker_id))
    return Counter({row.worker_id: row.n for row in rows})


def _ended_counts(connection: Connection) -> Counter[int]:
    """Return the number of jobs that each registered worker has ended."""
    of_living = job_counters.c.worker_id.in_(select(workers.c.id).where(IS_ALIVE))
    chosen = select(job_counters.c.worker_id, func.sum(job_counters.c.n)).where(
        of_living, job_counters.c.state.in_(ENDED_STATES)
    )
    rows = connection.execute(chosen.group_by(job_counters.c.worker_id))
    return Counter({worker: int(n) for worker, n in rows})


def _worker(row: Row[Any], at: float, n_claimed: int, n_ended: int, alive: bool) -> dict[str, Any]:
    age = max(at - row.started_at, 0.001)
    return {
        "id": row.id,
        "host": row.host.split("/")[0],
        "pid": row.pid,
        "alive": alive,
        "stages": row.stages.split(),
        "jobs": n_claimed,
        "ended": n_ended,
        "per_minute": round(60 * n_ended / age, 1),
        "up_s": round(age, 1),
        "lease_s": round(row.lease_until - at, 1),
        "notice": row.notice if alive else None,
    }


def _hosts(present: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"workers": 0, "jobs": 0, "per_minute": 0.0}
    )
    for worker in present:
        if worker["alive"]:
            host = found[worker["host"]]
            host["workers"] += 1
            host["jobs"] += worker["jobs"]
            host["per_minute"] = round(host["per_minute"] + worker["per_minute"], 1)
    return dict(found)


_CLAIM = (jobs.c.stage, jobs.c.subject_id, jobs.c.worker_id, jobs.c.claimed_at)


def _claim(row: Any, at: float) -> dict[str, Any]:
    since = row.claimed_at
    return {
        "stage": row.stage,
        "subject": row.subject_id,
        "worker": row.worker_id,
        "for_s": None if since is None else round(max(0.0, at - since), 1),
    }


def _oldest(connection: Connection, at: float) -> dict[str, Any] | None:
    chosen = select(*_CLAIM).where(in_state("claimed"), jobs.c.claimed_at.is_not(None))
    row = connection.execute(chosen.order_by(jobs.c.claimed_at).limit(1)).first()
    return None if row is None else _claim(row, at)


def _stuck(connection: Connection, at: float, alive: list[int]) -> list[dict[str, Any]]:
    """Return claims of dead workers, the oldest first."""
    of_dead = jobs.c.worker_id.not_in(alive)
    chosen = select(*_CLAIM).where(in_state("claimed"), of_dead)
    rows = connection.execute(chosen.order_by(jobs.c.claimed_at).limit(MAX_EXAMPLES))
    return [_claim(row, at) for row in rows]


def _suspects(connection: Connection) -> list[dict[str, Any]]:
    chosen = select(jobs.c.stage, jobs.c.subject_id, jobs.c.crashes).where(in_state("suspect"))
    rows = connection.execute(chosen.order_by(jobs.c.crashes.desc()).limit(MAX_EXAMPLES))
    return [{"stage": r.stage, "subject": r.subject_id, "crashes": r.crashes} for r in rows]
