"""Prices: from settings, from the package, and none."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.tables import prices
from annoy_store.errors import UsageError
from annoy_store.inference.prices import Price, insert_prices, published_price, required_price


def test_price_cost_counts_cached_tokens_once() -> None:
    price = Price(input=2.0, cached=0.5, output=8.0)
    assert price.cost(1000, 400, 100) == pytest.approx((600 * 2 + 400 * 0.5 + 100 * 8) / 1e6)
    assert price.billed("batch") == Price(1.0, 0.25, 4.0)
    assert price.billed("openai") == price


def test_insert_prices_keeps_a_row_for_each_change(store: Database) -> None:
    for output in (4.0, 4.0, 8.0):
        insert_prices(store, RunSettings(prices={"m": {"input": 1.0, "output": output}}))
    assert required_price(store, "m") == Price(1.0, 1.0, 8.0)
    with store.read() as connection:
        assert len(connection.execute(select(prices)).all()) == 2


def test_insert_prices_fills_gaps_with_published_prices(sqlite_store: Database) -> None:
    pytest.importorskip("genai_prices")
    insert_prices(sqlite_store, RunSettings(preset="deepseek", model="deepseek-flash"))
    known = required_price(sqlite_store, "deepseek-flash")
    assert 0 < known.cached < known.input < known.output
    own = {"deepseek-flash": {"input": 9.0, "cached": 9.0, "output": 9.0}}
    insert_prices(sqlite_store, RunSettings(model="deepseek-flash", prices=own))
    assert required_price(sqlite_store, "deepseek-flash") == Price(9.0, 9.0, 9.0)


def test_insert_prices_finds_none_for_a_local_model(sqlite_store: Database) -> None:
    insert_prices(sqlite_store, RunSettings(preset="vllm", model="deepseek-flash"))
    assert published_price("no-such-model", "https://api.deepseek.com") is None
    with pytest.raises(UsageError, match=r"\[prices.deepseek-flash\]"):
        required_price(sqlite_store, "deepseek-flash")
