"""How a store stands: the funnel, who works on it, what it cost, and what to do next.

Decision: jobs come from the counters and open work from partial indexes, so asking costs the same
however many jobs are done. Tokens are summed over attempts above a mark, so who asks again and
again (`--watch`) reads only what is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Row,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
)

from annoy_store.contracts import Stage
from annoy_store.counting import funnel
from annoy_store.database import Store, now, revision
from annoy_store.ledger import IN_BATCH, in_state
from annoy_store.planning import count_wanted
from annoy_store.policies import load_policy
from annoy_store.roster import Roster, roster
from annoy_store.tables import attempts, jobs, metadata, prices, teachers
from annoy_store.views import BATCH_PART

COUNTED = (
    "sources", "origins", "prompts", "turns", "calls", "attempts", "responses", "samples",
    "executions", "io_pairs", "pair_checks", "verdicts", "exports", "export_rows",
)  # fmt: skip
FREE_BACKENDS = ("tracer", "replay")
OPEN = ("pending", "claimed", "deferred", "suspect")
TOKENS = ("prompt", "cached", "completion", "reasoning")


@dataclass(frozen=True)
class Usage:
    """Tokens and money of the attempts with an id up to `upto`; `unpriced` answers cost unknown."""

    upto: int = 0
    attempts: int = 0
    tokens: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(TOKENS, 0))
    known_usd: float = 0.0
    unpriced: int = 0

    @property
    def cost_usd(self) -> float | None:
        return None if self.unpriced else self.known_usd

    def __add__(self, more: Usage) -> Usage:
        tokens = {name: self.tokens[name] + more.tokens[name] for name in TOKENS}
        return Usage(
            max(self.upto, more.upto), self.attempts + more.attempts, tokens,
            self.known_usd + more.known_usd, self.unpriced + more.unpriced,
        )  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """A store at one moment. `wanted` are jobs that the next run would enter."""

    store: str
    schema: str | None
    tables: Mapping[str, int]
    stages: Mapping[str, Mapping[str, int]]
    wanted: Mapping[str, int]
    roster: Roster
    usage: Usage
    next_due: float | None
    in_batches: int = 0  # calls that wait in a batch, at a provider or in a file

    @property
    def workers(self) -> list[dict[str, Any]]:
        return self.roster.workers

    def total(self, *states: str) -> int:
        """Jobs of all stages in these states."""
        return sum(of.get(state, 0) for of in self.stages.values() for state in states)

    def next_step(self) -> str:
        """The command to type next."""
        if not self.tables["sources"] and not self.tables["samples"]:
            return "annoy ingest PATH   (or see it work first: annoy demo)"
        if any(worker["alive"] for worker in self.workers):
            return "annoy status --watch"
        if self.in_batches and self.in_batches == self.total(*OPEN):
            return "annoy batch status"
        if self.total(*OPEN) or sum(self.wanted.values()):
            return "annoy run --teacher tracer   (or with a model: annoy run -m MODEL)"
        if self.total("failed"):
            return "annoy retry --dry-run"
        if self.tables["verdicts"]:
            return "annoy export codeio DIR"
        return "annoy sql 'SELECT * FROM v_failures ORDER BY jobs DESC'"

    def as_dict(self) -> dict[str, Any]:
        """The shape of `annoy status --json`."""
        return {
            "store": self.store, "schema": self.schema, "tables": dict(self.tables),
            "stages": {name: dict(states) for name, states in self.stages.items()},
            "tokens": dict(self.usage.tokens), "attempts": self.usage.attempts,
            "cost_usd": self.usage.cost_usd, "known_cost_usd": self.usage.known_usd,
            "wanted": dict(self.wanted), **self.roster.as_dict(), "next_due_s": self.next_due,
            "in_batches": self.in_batches,
            "next": self.next_step(),
        }  # fmt: skip


def standing(store: Store, stages: Iterable[Stage], before: Usage | None = None) -> Standing:
    """Look at a store; with `before`, add to that usage only what came since."""
    schema = revision(store)
    listed = list(stages)
    with store.read() as connection:
        policy = load_policy(connection)
        jobs_now = funnel(connection)
        usage = before or Usage()
        return Standing(
            str(store),
            schema,
            {name: _count(connection, name) for name in COUNTED},
            {stage.name: jobs_now.get(stage.name, {}) for stage in listed},
            {stage.name: count_wanted(connection, stage, policy) for stage in listed},
            roster(connection),
            usage + usage_above(connection, usage.upto),
            _next_due(connection),
            _in_batches(connection),
        )


def _count(connection: Connection, table: str) -> int:
    return int(connection.scalar(select(func.count()).select_from(metadata.tables[table])) or 0)


def usage_above(connection: Connection, mark: int) -> Usage:
    """What the attempts with an id above `mark` used, at the prices of their time."""
    return replace(found := usage_of(connection, attempts.c.id > mark), upto=found.upto or mark)


def usage_of(connection: Connection, where: ColumnElement[bool]) -> Usage:
    """What some attempts used, at the prices of their time."""
    cost = _cost(connection)
    unpriced = and_(attempts.c.status == "ok", cost.is_(null()))
    sums = [func.sum(attempts.c[f"{name}_tokens"]).label(name) for name in TOKENS]
    row = connection.execute(
        select(
            func.max(attempts.c.id).label("upto"), func.count().label("n"), *sums,
            func.sum(cost).label("usd"), func.sum(case((unpriced, 1), else_=0)).label("unpriced"),
        ).where(where)
    ).one()._mapping  # fmt: skip
    tokens = {name: int(row[name] or 0) for name in TOKENS}
    return Usage(
        row["upto"] or 0, row["n"], tokens, float(row["usd"] or 0), int(row["unpriced"] or 0)
    )


def _cost(connection: Connection) -> ColumnElement[Any]:
    """What an attempt cost at the price of its time, null without one, spelled out case by case:
    prices are few and attempts are many, so none is looked up.
    """
    chosen = select(teachers.c.id, teachers.c.backend, prices).join_from(
        teachers, prices, prices.c.model == teachers.c.model, isouter=True
    )
    cases: list[tuple[ColumnElement[bool], ColumnElement[Any]]] = []
    for row in connection.execute(chosen.order_by(prices.c.from_time.desc())):
        mine = attempts.c.teacher_id == row.id
        if row.backend in FREE_BACKENDS:
            cases.append((mine, literal(0.0, Double)))
        elif row.from_time is not None:
            cases.append((and_(mine, attempts.c.started_at >= row.from_time), _priced(row)))
    return case(*cases, else_=null()) if cases else cast(null(), Double)


def _priced(price: Row[Any]) -> ColumnElement[Any]:
    part = (BATCH_PART if price.backend == "batch" else 1.0) / 1e6
    cached = func.coalesce(attempts.c.cached_tokens, 0)
    return (
        (attempts.c.prompt_tokens - cached) * literal(price.input * part, Double)
        + cached * literal(price.cached * part, Double)
        + attempts.c.completion_tokens * literal(price.output * part, Double)
    )


def _next_due(connection: Connection) -> float | None:
    due = connection.scalar(select(func.min(jobs.c.due_at)).where(in_state("deferred")))
    return None if due is None else round(max(0.0, due - now(connection)), 1)


def _in_batches(connection: Connection) -> int:
    held = select(func.count()).where(in_state("deferred"), jobs.c.reason == IN_BATCH)
    return int(connection.scalar(held) or 0)
