"""The expected tokens and cost of calls, by the usage that the store has measured.

Decisions
- A kind of turn that was never answered has the usual tokens (usual_yields.py), scaled by what the
  model used for other turns; of the same kind, if there are any.
- A cost that cannot be known is None, and then the sum is None too. Backends that are programs
  cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from annoy_store.analysis.usual_yields import usual_tokens
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
        is_measured: Whether the tokens are those of such turns.
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
            billed = price and price.billed(backend)
            yield _call_forecast(
                kind, turn, n, _comparable(history, kind, turn, model), billed, model
            )


def _comparable(history: History, kind: str, turn: int, model: str | None) -> list[TurnUsage]:
    """Return measured usage of such turns, else of the kind, else of all; by the model if it can."""
    reported = [s for s in history.usage if s.answered and s.prompt_tokens]
    of_kind = [s for s in reported if s.kind == kind]
    for chosen in ([s for s in of_kind if s.turn == turn], of_kind, reported):
        if chosen:
            return [s for s in chosen if s.model == model] or chosen
    return []


def _call_forecast(
    kind: str,
    turn: int,
    n: float,
    usage: Sequence[TurnUsage],
    price: Price | None,
    model: str | None,
) -> CallForecast:
    if not usage:
        return CallForecast(kind, turn, n, None, None, None, False)
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
    is_measured = all((s.kind, s.turn) == (kind, turn) for s in usage)
    return CallForecast(
        kind, turn, n, n * prompt, n * completion, None if usd is None else n * usd, is_measured
    )


def _scales(kind: str, turn: int, usage: Sequence[TurnUsage]) -> tuple[float, float]:
    """Return what turns the prompt and completion tokens of some usage into those of one call."""
    wanted = usual_tokens(kind, turn)
    usual = [(s.answered, usual_tokens(s.kind, s.turn)) for s in usage]
    return (
        wanted.prompt / sum(n * one.prompt for n, one in usual),
        wanted.completion / sum(n * one.completion for n, one in usual),
    )
