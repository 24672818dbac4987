"""Tokens and money that attempts used, summed in SQL at the prices of their time.

Decision: tokens are summed over attempts above a mark, so a caller that asks repeatedly
(`annoy status --watch`) reads only what is new."""

from __future__ import annotations

from collections.abc import Mapping
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

from annoy_store.db.states import FREE_BACKENDS
from annoy_store.db.tables import attempts, prices, teachers
from annoy_store.db.views import BATCH_PRICE_FACTOR

TOKENS = ("prompt", "cached", "completion", "reasoning")


@dataclass(frozen=True)
class Usage:
    """Tokens and money of the attempts with an id up to `upto`; `unpriced` answers cost unknown."""

    last_attempt_id: int = 0
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
            max(self.last_attempt_id, more.last_attempt_id),
            self.attempts + more.attempts,
            tokens,
            self.known_usd + more.known_usd,
            self.unpriced + more.unpriced,
        )


def usage_since(connection: Connection, attempt_id: int) -> Usage:
    """What the attempts with an id above `mark` used, at the prices of their time."""
    return replace(
        found := usage_of(connection, attempts.c.id > attempt_id),
        last_attempt_id=found.last_attempt_id or attempt_id,
    )


def usage_of(connection: Connection, where: ColumnElement[bool]) -> Usage:
    """What some attempts used, at the prices of their time."""
    cost = _cost(connection)
    unpriced = and_(attempts.c.status == "ok", cost.is_(null()))
    sums = [func.sum(attempts.c[f"{name}_tokens"]).label(name) for name in TOKENS]
    row = (
        connection.execute(
            select(
                func.max(attempts.c.id).label("upto"),
                func.count().label("n"),
                *sums,
                func.sum(cost).label("usd"),
                func.sum(case((unpriced, 1), else_=0)).label("unpriced"),
            ).where(where)
        )
        .one()
        ._mapping
    )
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
    part = (BATCH_PRICE_FACTOR if price.backend == "batch" else 1.0) / 1e6
    cached = func.coalesce(attempts.c.cached_tokens, 0)
    return (
        (attempts.c.prompt_tokens - cached) * literal(price.input * part, Double)
        + cached * literal(price.cached * part, Double)
        + attempts.c.completion_tokens * literal(price.output * part, Double)
    )
