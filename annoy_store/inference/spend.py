"""Tokens and money that attempts used, summed in SQL at the prices of their time.

Decision: usage is summed over attempts above an id, so a caller that asks repeatedly
(`annoy status --watch`) reads only what is new.
"""

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

from annoy_store.db.cost import BILLED_SHARE, attempt_cost
from annoy_store.db.states import FREE_BACKENDS
from annoy_store.db.tables import attempts, prices, teachers

TOKENS = ("prompt", "cached", "completion", "reasoning")


@dataclass(frozen=True)
class Usage:
    """What some attempts used.

    Attributes:
        last_attempt_id: The highest id among them.
        attempts: How many they are.
        tokens: Tokens by the names in `TOKENS`.
        known_usd: The cost in USD of those whose price is known.
        unpriced: How many answers have an unknown cost.
    """

    last_attempt_id: int = 0
    attempts: int = 0
    tokens: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(TOKENS, 0))
    known_usd: float = 0.0
    unpriced: int = 0

    @property
    def cost_usd(self) -> float | None:
        """Return the cost in USD, None if that of any answer is unknown."""
        return None if self.unpriced else self.known_usd

    def __add__(self, more: Usage) -> Usage:
        return Usage(
            max(self.last_attempt_id, more.last_attempt_id),
            self.attempts + more.attempts,
            {name: self.tokens[name] + more.tokens[name] for name in TOKENS},
            self.known_usd + more.known_usd,
            self.unpriced + more.unpriced,
        )


def usage_since(connection: Connection, attempt_id: int) -> Usage:
    """Return what the attempts with a higher id than `attempt_id` used.

    Args:
        connection: A transaction that reads.
        attempt_id: Id of the last attempt that was counted before; 0 counts all.
    """
    found = usage_of(connection, attempts.c.id > attempt_id)
    return replace(found, last_attempt_id=found.last_attempt_id or attempt_id)


def usage_of(connection: Connection, where: ColumnElement[bool]) -> Usage:
    """Return what the attempts that fulfil a condition used.

    Args:
        connection: The store.
        where: A condition on the columns of `attempts`.

    Returns:
        Their usage, with costs at the prices of their time.
    """
    cost = _cost(connection)
    unpriced = and_(attempts.c.status == "ok", cost.is_(null()))
    sums = [func.sum(attempts.c[f"{name}_tokens"]).label(name) for name in TOKENS]
    chosen = select(
        func.max(attempts.c.id).label("last_id"),
        func.count().label("n"),
        *sums,
        func.sum(cost).label("usd"),
        func.sum(case((unpriced, 1), else_=0)).label("unpriced"),
    )
    row = connection.execute(chosen.where(where)).one()._mapping
    return Usage(
        row["last_id"] or 0,
        row["n"],
        {name: int(row[name] or 0) for name in TOKENS},
        float(row["usd"] or 0),
        int(row["unpriced"] or 0),
    )


def _cost(connection: Connection) -> ColumnElement[Any]:
    """Return the cost of an attempt at the price of its time, null if it is unknown.

    It lists every price: prices are few and attempts are many, so none is looked up by row.
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
            in_time = attempts.c.started_at >= row.from_time
            cases.append((and_(mine, in_time), attempt_cost(attempts, _billed(row))))
    return case(*cases, else_=null()) if cases else cast(null(), Double)


def _billed(
    price: Row[Any],
) -> tuple[ColumnElement[Any], ColumnElement[Any], ColumnElement[Any]]:
    share = BILLED_SHARE.get(price.backend, 1.0)
    rates = (price.input, price.cached, price.output)
    fresh, hit, output = (literal(rate * share, Double) for rate in rates)
    return fresh, hit, output
