"""The status of a store: jobs by stage, workers, usage, and the next command.

Decision: jobs are read from the counters and open work from partial indexes, so the status costs
the same however many jobs are done. Tokens are summed over attempts above a given id, so repeated
reading (`--watch`) reads only new attempts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    false,
    func,
    or_,
    select,
)

from annoy_store.analysis.endpoint_status import EndpointTrouble, endpoint_troubles
from annoy_store.analysis.worker_status import WorkerStatus, worker_status
from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.db.migrate import revision
from annoy_store.db.sql import now
from annoy_store.db.states import OPEN_STATES
from annoy_store.db.tables import jobs, metadata, pair_checks, variants
from annoy_store.inference.spend import Usage, usage_since
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import funnel
from annoy_store.queue.enqueue import count_wanted, is_enabled
from annoy_store.queue.jobs import IN_BATCH, in_state
from annoy_store.queue.variants import variants_of
from annoy_store.records.policy import load_policy

COUNTED_TABLES = (
    "sources",
    "origins",
    "prompts",
    "turns",
    "calls",
    "attempts",
    "responses",
    "samples",
    "executions",
    "io_pairs",
    "pair_checks",
    "verdicts",
    "exports",
    "export_rows",
)


@dataclass(frozen=True)
class StoreStatus:
    """A store at one moment.

    Attributes:
        store: URL of the store.
        schema: Revision of its schema; None if it has none.
        tables: Number of rows by table.
        stages: Number of jobs by stage and state.
        wanted: Number of jobs that the next run would enqueue, by stage.
        worker_status: Workers and their claims.
        usage: Tokens and cost of all attempts.
        next_due: Seconds until the next deferred job is due; None without one.
        in_batches: Number of calls that wait in a batch, at a provider or in a file.
        not_enabled: Number of open jobs of tasks that are not enabled; no run does them.
        not_compared: Number of checks of pairs not compared with their question by `annoy init`.
        troubles: Endpoints at which some of the newest attempts failed.
    """

    store: str
    schema: str | None
    tables: Mapping[str, int]
    stages: Mapping[str, Mapping[str, int]]
    wanted: Mapping[str, int]
    worker_status: WorkerStatus
    usage: Usage
    next_due: float | None
    in_batches: int = 0
    not_enabled: int = 0
    not_compared: int = 0
    troubles: Sequence[EndpointTrouble] = ()

    @property
    def workers(self) -> list[dict[str, Any]]:
        """The registered workers, as `annoy status --json` lists them."""
        return self.worker_status.workers

    def total(self, *states: str) -> int:
        """Return the number of jobs of all stages in some states."""
        return sum(of.get(state, 0) for of in self.stages.values() for state in states)

    def next_step(self) -> str:
        """Return the command to run next."""
        if not any(self.tables.values()):
            return "annoy ingest PATH   (or try the demo first: annoy demo)"
        if self.not_compared:
            return "annoy init"
        if any(worker["alive"] for worker in self.workers):
            return "annoy status --watch"
        n_open = self.total(*OPEN_STATES) - self.not_enabled
        if self.in_batches and self.in_batches == n_open:
            return "annoy batch status"
        if n_open or sum(self.wanted.values()):
            return "annoy run --teacher tracer   (or with a model: annoy run -m MODEL)"
        if self.total("failed"):
            return "annoy retry --dry-run"
        if self.tables["verdicts"]:
            return "annoy export codeio DIR"
        return "annoy sql 'SELECT * FROM v_failures ORDER BY jobs DESC'"

    def as_dict(self) -> dict[str, Any]:
        """Return the status as `annoy status --json` prints it."""
        return {
            "store": self.store,
            "schema": self.schema,
            "tables": dict(self.tables),
            "stages": {name: dict(states) for name, states in self.stages.items()},
            "tokens": dict(self.usage.tokens),
            "attempts": self.usage.attempts,
            "cost_usd": self.usage.cost_usd,
            "known_cost_usd": self.usage.known_usd,
            "wanted": dict(self.wanted),
            **self.worker_status.as_dict(),
            "next_due_s": self.next_due,
            "in_batches": self.in_batches,
            "not_enabled": self.not_enabled,
            "not_compared": self.not_compared,
            "endpoints": [trouble.as_dict() for trouble in self.troubles],
            "next": self.next_step(),
        }


def store_status(
    store: Database, stages: Iterable[Stage], before: Usage | None = None
) -> StoreStatus:
    """Return the status of a store.

    Args:
        store: The store.
        stages: The stages to report.
        before: Usage that was read before; only newer attempts are added to it.
    """
    schema = revision(store)
    listed = list(stages)
    with store.read() as connection:
        policy = load_policy(connection)
        jobs_now = funnel(connection)
        usage = before or Usage()
        return StoreStatus(
            str(store),
            schema,
            {name: _count(connection, name) for name in COUNTED_TABLES},
            {stage.name: jobs_now.get(stage.name, {}) for stage in listed},
            _count_wanted(connection, listed, policy),
            worker_status(connection),
            usage + usage_since(connection, usage.last_attempt_id),
            _next_due(connection),
            _in_batches(connection),
            _not_enabled(connection, listed, policy),
            _not_compared(connection),
            endpoint_troubles(connection),
        )


def _count_wanted(
    connection: Connection, stages: Iterable[Stage], policy: Policy
) -> dict[str, int]:
    """Jobs that the next run would enqueue, by the stage's name."""
    wanted: Counter[str] = Counter()
    for stage in stages:
        wanted[stage.name] += count_wanted(connection, stage, policy)
    return dict(wanted)


def _count(connection: Connection, table: str) -> int:
    return int(connection.scalar(select(func.count()).select_from(metadata.tables[table])) or 0)


def _next_due(connection: Connection) -> float | None:
    due = connection.scalar(select(func.min(jobs.c.due_at)).where(in_state("deferred")))
    return None if due is None else round(max(0.0, due - now(connection)), 1)


def _in_batches(connection: Connection) -> int:
    chosen = select(func.count()).where(in_state("deferred"), jobs.c.reason == IN_BATCH)
    return int(connection.scalar(chosen) or 0)


def _not_compared(connection: Connection) -> int:
    chosen = select(func.count()).where(pair_checks.c.shown.is_(None))
    return int(connection.scalar(chosen) or 0)


def _not_enabled(connection: Connection, stages: Iterable[Stage], policy: Policy) -> int:
    """The open jobs of variants of a task that none of the stages claims, installed or not."""
    enabled = [s for s in stages if s.task and is_enabled(connection, s, policy)]
    claimed = or_(false(), *map(variants_of, enabled))
    idle = connection.execute(
        select(variants.c.stage, variants.c.id).where(variants.c.task != "", ~claimed)
    ).all()
    mine = jobs.c.variant_id.in_([variant_id for _, variant_id in idle])
    return sum(
        connection.scalar(select(func.count()).where(jobs.c.stage == stage, in_state(state), mine))
        or 0
        for stage in sorted({stage for stage, _ in idle})
        for state in OPEN_STATES
    )
