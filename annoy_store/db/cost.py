"""What an attempt costs: one formula, for numbers and for SQL.

Decisions
- Prices are in USD per million tokens, those of an online call. Every provider with a Batch API
  bills half of it for a batch, so half is counted and no price is entered twice.
- The tracer and recorded answers cost nothing, even if their model has the name of one with a
  price. Anything else without a price, or without usage, has no known cost: null.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, FromClause, case, func
from sqlalchemy.engine.default import DefaultDialect

from annoy_store.db.states import FREE_BACKENDS
from annoy_store.db.tables import attempts, prices, teachers

BILLED_SHARE: Final = {"batch": 0.5}  # of the price, by backend; 1 for all others
_MILLION = 1_000_000.0

Number = TypeVar("Number", float, ColumnElement[Any])


def token_cost(
    prompt: Number, cached: Number, completion: Number, price: tuple[Number, Number, Number]
) -> Number:
    """Return what tokens cost, of numbers or of SQL expressions.

    Args:
        prompt: Prompt tokens, cached ones included.
        cached: How many of them were cached.
        completion: Completion tokens, reasoning included.
        price: USD per million tokens: of the prompt, of cached tokens, of the completion.

    Returns:
        USD.
    """
    fresh, hit, output = price
    return ((prompt - cached) * fresh + cached * hit + completion * output) / _MILLION


def attempt_cost(
    attempt: FromClause, price: tuple[ColumnElement[Any], ColumnElement[Any], ColumnElement[Any]]
) -> ColumnElement[Any]:
    """Return the cost in USD of rows of `attempts` at a price, as an SQL expression."""
    tokens = attempt.c
    cached: ColumnElement[Any] = func.coalesce(tokens.cached_tokens, 0)
    return token_cost(tokens.prompt_tokens, cached, tokens.completion_tokens, price)


def _cost_sql() -> str:
    """Return the cost of attempt `a` of teacher `b` at the price `p` of its time, as SQL text."""
    a, b, p = attempts.alias("a"), teachers.alias("b"), prices.alias("p")
    share = case(BILLED_SHARE, value=b.c.backend, else_=1.0)
    paid = attempt_cost(a, (p.c.input, p.c.cached, p.c.output)) * share
    whole = case((b.c.backend.in_(FREE_BACKENDS), 0.0), else_=paid)
    common = DefaultDialect()
    common.div_is_floordiv = False  # both sides are floats: a plain division is right everywhere
    return str(whole.compile(dialect=common, compile_kwargs={"literal_binds": True}))


ATTEMPT_COST = _cost_sql()
# The cost of a group of attempts: null if the cost of any answer is unknown.
TOTAL_COST = f"""CASE WHEN SUM(CASE WHEN a.status = 'ok' AND {ATTEMPT_COST} IS NULL
    THEN 1 ELSE 0 END) = 0 THEN COALESCE(SUM({ATTEMPT_COST}), 0.0) END"""
