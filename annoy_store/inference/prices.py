"""Prices of models: from the settings, else from the package `genai-prices` if it is installed.

Decisions
- Prices are rows with a time from which they hold, so a call that was made at an old price keeps
  it.
- A price is that of an online call, whichever backend answers (db/cost.py halves it for batches).
- The price of a model is never guessed: without one, costs are unknown.
- Where a price depends on the hour, the highest of the day is entered: so a budget holds at all
  hours, and the reported cost is an upper bound.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, select

from annoy_store.config import RunSettings
from annoy_store.db.cost import BILLED_SHARE, token_cost
from annoy_store.db.engine import Database
from annoy_store.db.sql import insert_new
from annoy_store.db.states import FREE_BACKENDS
from annoy_store.db.tables import prices
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import UsageError
from annoy_store.inference.backends import ROLES, backend_and_model
from annoy_store.inference.client.base_url import is_local
from annoy_store.inference.client.providers import resolve_base_url

_EPOCH = "1970-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Price:
    """The price of a model, in USD per million tokens.

    Attributes:
        input: Of prompt tokens that were not cached.
        cached: Of cached prompt tokens.
        output: Of completion tokens.
    """

    input: float
    cached: float
    output: float

    def cost(self, prompt: float, cached: float, completion: float) -> float:
        """Return what tokens cost.

        Args:
            prompt: Prompt tokens, cached ones included.
            cached: How many of them were cached.
            completion: Completion tokens.

        Returns:
            USD.
        """
        return token_cost(prompt, cached, completion, (self.input, self.cached, self.output))

    def billed(self, backend: str) -> Price:
        """Return the price of a call by `backend`."""
        share = BILLED_SHARE.get(backend, 1.0)
        return Price(*(share * part for part in astuple(self)))


PER_TOKEN = Price(1e6, 1e6, 1e6)  # counts tokens instead of money


def insert_prices(store: Database, settings: RunSettings) -> None:
    """Enter the prices of the settings, and published ones of models that have none.

    Args:
        store: The store.
        settings: Its `prices` are USD per million tokens by model.
    """
    known = {model: price_from_settings(price) for model, price in settings.prices.items()}
    with store.write() as connection:
        for model in _unpriced(connection, settings, known):
            if price := published_price(model, resolve_base_url(settings)[1]):
                known[model] = price
        for model, price in known.items():
            _insert_if_changed(connection, model, price)


def _unpriced(connection: Connection, settings: RunSettings, known: Container[str]) -> list[str]:
    """Return the models at public endpoints that have no price yet."""
    chosen = {backend_and_model(settings, kind) for kind in ROLES}
    models = {model for backend, model in chosen if model and backend not in FREE_BACKENDS}
    new = [m for m in models if m not in known and latest_price(connection, m) is None]
    return [] if not new or is_local(resolve_base_url(settings)[1]) else new


def required_price(store: Database, model: str) -> Price:
    """Return the latest price of a model.

    Args:
        store: The store.
        model: Model as the endpoint knows it.

    Raises:
        UsageError: None is known.
    """
    with store.read() as connection:
        price = latest_price(connection, model)
    if price is None:
        raise UsageError(
            f"--budget-usd needs the price of {model}: write [prices.{model}] with input, cached "
            "and output (USD per million tokens) into annoy.toml, or install annoy-store[prices]"
        )
    return price


def latest_price(connection: Connection, model: str) -> Price | None:
    """Return the latest price of a model; None if none is known."""
    row = connection.execute(_select_latest(model)).first()
    return None if row is None else Price(*row)


def published_price(model: str, base_url: str) -> Price | None:
    """Look a price up in the package `genai-prices` (https://github.com/pydantic/genai-prices).

    Args:
        model: The model's name at the provider.
        base_url: The provider's base URL.

    Returns:
        The highest price of the coming day; None if the package is not installed or knows none.
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    known = []
    for hour in range(24):
        at = datetime.now(UTC) + timedelta(hours=hour)
        try:
            found = calc_price(
                Usage(), model, provider_api_url=base_url, genai_request_timestamp=at
            ).model_price
        except (LookupError, ValueError):
            return None
        known.append(_price_from_package(found))
    return max((p for p in known if p), key=astuple, default=None)


def price_from_settings(price: Mapping[str, float]) -> Price:
    """Return a price of the settings; without `cached` or `output` the price of `input` holds."""
    fresh = float(price.get("input", 0.0))
    return Price(fresh, float(price.get("cached", fresh)), float(price.get("output", fresh)))


def _price_from_package(price: Any) -> Price | None:
    """Return a price of the package; of one in tiers the lowest, because our prompts are short."""
    fresh, cached, output = (
        _base(getattr(price, name, None))
        for name in ("input_mtok", "cache_read_mtok", "output_mtok")
    )
    if fresh is None or output is None:
        return None
    return Price(fresh, fresh if cached is None else cached, output)


def _base(price: Any) -> float | None:
    return None if price is None else float(getattr(price, "base", price))


def _select_latest(model: str) -> Select[Any]:
    columns = prices.c.input, prices.c.cached, prices.c.output
    mine = select(*columns).where(prices.c.model == model)
    return mine.order_by(prices.c.from_time.desc()).limit(1)


def _insert_if_changed(connection: Connection, model: str, price: Price) -> None:
    """Enter a price unless it is the latest; the first of a model holds for all times."""
    latest = latest_price(connection, model)
    if latest != price:
        since = _EPOCH if latest is None else utc_now()
        row = {"model": model, "from_time": since, **vars(price)}
        insert_new(connection, prices, [row])  # another run may enter it, too
