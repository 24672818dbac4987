"""The expected tokens and cost of calls, by the usage that the store has measured.

Decisions
- Measured usage of a kind of turn is shrunk, as yields are (usual_yields.py), towards its usual
  tokens, scaled by what the model used for other turns; of the same kind, if there are any.
- A cost that cannot be known is None, and then the sum is None too. Backends that are programs
  cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from annoy_store.analysis.usual_yields import PRIOR_ROWS, usual_tokens
from annoy_store.analysis.yields import History, Turn, TurnUsage
from annoy_store.db.states import FREE_BACKENDS
from annoy_store.db.tables import prices
from annoy_store.inference.prices import Price, price_from_settings

ChooseModel = Callable[[str], tuple[str, str | None]]
"""From the kind of a turn to the backend and the model that answer it."""
Prices = Mapping[str, Price]
"""Prices by model."""


@dataclass(frozen=True)
class CallForecast:
    """The expected calls and usage of one kind of turn; None is unknown.

    Attributes:
        kind: Kind of the turn.
        turn: Number of the turn, from 1.
        calls: Expected number of calls.
        prompt_tokens: Expected prompt tokens of all of them.
        completion_tokens: Expected completion tokens of all of them.
        usd: Expected cost in USD of all of them.
        is_measured: Whether measured usage of such turns weighs more than that of others.
    """

    kind: str
    turn: int
    calls: float
    prompt_tokens: float | None
    completion_tokens: float | None
    usd: float | None
    is_measured: bool = True


def latest_prices(connection: Connection, settings: Mapping[str, Mapping[str, float]]) -> Prices:
    """Return the current prices by model: those of the settings, else the store's latest.

    Args:
        connection: A connection to the store.
        settings: USD per million tokens by model and `input`, `cached` or `output`.
    """
    rows = connection.execute(select(prices).order_by(prices.c.from_time))
    known = {row.model: Price(row.input, row.cached, row.output) for row in rows}
    for model, price in settings.items():
        known[model] = price_from_settings(price)
    return known


def expected_usage(
    calls_of: Mapping[Turn, float], history: History, choose: ChooseModel, known: Prices
) -> Iterator[CallForecast]:
    """Yield the expected usage of calls, by turn and kind.

    Args:
        calls_of: Expected calls, by kind and number of their turn.
        history: What the store has measured.
        choose: The backend and model for a kind of turn.
        known: Prices by model.
    """
    for (kind, turn), n in sorted(calls_of.items(), key=lambda item: (item[0][1], item[0][0])):
        if n > 0:
            backend, model = choose(kind)
            if backend in FREE_BACKENDS:
                yield CallForecast(kind, turn, n, 0.0, 0.0, 0.0)
                continue
            price = known.get(model or "")
            found = _expected_call(history, kind, turn, model, price and price.billed(backend))
            if found is None:
                yield CallForecast(kind, turn, n, None, None, None, False)
                continue
            usd = None if found.usd is None else n * found.usd
            is_measured = found.answered >= PRIOR_ROWS
            yield CallForecast(
                kind, turn, n, n * found.prompt, n * found.completion, usd, is_measured
            )


@dataclass(frozen=True)
class _Call:
    """What one call uses on average, measured on so many answers."""

    prompt: float
    completion: float
    usd: float | None
    answered: int


def _expected_call(
    history: History, kind: str, turn: int, model: str | None, price: Price | None
) -> _Call | None:
    """Return the measured usage of such a call, shrunk towards that of others; None if unknown."""
    reported = [s for s in history.usage if s.answered and s.prompt_tokens]
    of_kind = [s for s in reported if s.kind == kind]
    own = _by_model([s for s in of_kind if s.turn == turn], model)
    others = [s for s in of_kind if s.turn != turn] or [s for s in reported if s.kind != kind]
    measured = _average_call(own, kind, turn, model, price) if own else None
    usual = _average_call(_by_model(others, model), kind, turn, model, price) if others else None
    if measured is None or usual is None:
        return measured or (usual and replace(usual, answered=0))
    n, prior = measured.answered, PRIOR_ROWS
    known = measured.usd is not None and usual.usd is not None
    return _Call(
        (n * measured.prompt + prior * usual.prompt) / (n + prior),
        (n * measured.completion + prior * usual.completion) / (n + prior),
        (n * (measured.usd or 0.0) + prior * (usual.usd or 0.0)) / (n + prior)
        if known
        else measured.usd,
        n,
    )


def _by_model(usage: list[TurnUsage], model: str | None) -> list[TurnUsage]:
    return [s for s in usage if s.model == model] or usage


def _average_call(
    usage: Sequence[TurnUsage], kind: str, turn: int, model: str | None, price: Price | None
) -> _Call:
    """Return what a call uses if it is like others; those of other kinds are scaled to it."""
    to_prompt, to_completion = _scales(kind, turn, usage)
    prompt = to_prompt * sum(s.prompt_tokens or 0 for s in usage)
    cached = to_prompt * sum(s.cached_tokens or 0 for s in usage)
    completion = to_completion * sum(s.completion_tokens or 0 for s in usage)
    usd = None
    if price:
        usd = price.cost(prompt, cached, completion)
    elif all(s.cost_usd is not None for s in usage) and (
        model is None or all(s.model == model for s in usage)
    ):
        usd = to_completion * sum(s.cost_usd or 0.0 for s in usage)
    return _Call(prompt, completion, usd, sum(s.answered for s in usage))


def _scales(kind: str, turn: int, usage: Sequence[TurnUsage]) -> tuple[float, float]:
    """Return what turns the prompt and completion tokens of some usage into those of one call."""
    wanted = usual_tokens(kind, turn)
    usual = [(s.answered, usual_tokens(s.kind, s.turn)) for s in usage]
    return (
        wanted.prompt / sum(n * one.prompt for n, one in usual),
        wanted.completion / sum(n * one.completion for n, one in usual),
    )
