"""Costs: the views, the sums and `Price` agree; what is unknown stays unknown."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select, text

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import attempts, calls, teachers
from annoy_store.inference.prices import Price, insert_prices
from annoy_store.inference.spend import usage_since
from annoy_store.worker.run import run
from tests.integration.test_interrupted_calls import plan_calls
from tests.integration.test_pipeline import sources, teach
from tests.support.provider import Provider


def scalar(store: Database, question: str) -> Any:
    with store.read() as connection:
        return connection.execute(text(question)).scalar()


def insert_attempt(
    store: Database,
    backend: str,
    status: str = "ok",
    tokens: int | None = 1_000_000,
    cached: int | None = None,
) -> None:
    """Insert an attempt of the first call, by a teacher of `backend` with the model `m`."""
    with store.write() as connection:
        known = select(teachers.c.id).where(teachers.c.digest == backend)
        if connection.scalar(known) is None:
            named = {"digest": backend, "backend": backend, "model": "m"}
            connection.execute(insert(teachers).values(base_url="", parameters="{}", **named))
        connection.execute(
            insert(attempts).values(
                call_id=connection.scalar(select(calls.c.id).limit(1)),
                teacher_id=connection.scalar(known),
                worker_id=1,
                started_at="2026-01-01T00:00:00.000Z",
                latency_ms=1.0,
                status=status,
                prompt_tokens=tokens,
                cached_tokens=cached,
                completion_tokens=tokens,
            )
        )


def test_cost_is_the_same_in_views_and_sums_and_for_a_price(store: Database) -> None:
    plan_calls(store, 1)
    price = Price(0.3, 0.006, 1.2)
    insert_prices(store, RunSettings(prices={"m": vars(price)}))
    for n, backend in enumerate(("openai", "batch"), 1):
        insert_attempt(store, backend, tokens=12_345 * n, cached=1_001 * n)
    costs = {b: price.billed(b) for b in ("openai", "batch")}
    expected = costs["openai"].cost(12_345, 1_001, 12_345)
    expected += costs["batch"].cost(24_690, 2_002, 24_690)
    with store.read() as connection:
        assert usage_since(connection, 0).cost_usd == pytest.approx(expected, rel=1e-12)
    total = scalar(store, "SELECT SUM(cost_usd) FROM v_cost")
    assert total == pytest.approx(expected, rel=1e-12)


def test_cost_is_null_if_unknown(store: Database) -> None:
    plan_calls(store, 1)
    insert_attempt(store, "openai")
    assert scalar(store, "SELECT cost_usd FROM v_cost") is None
    insert_prices(store, RunSettings(prices={"m": {"input": 1.0, "output": 2.0}}))
    insert_attempt(store, "openai", "retry", None)
    assert scalar(store, "SELECT cost_usd FROM v_cost") == pytest.approx(3.0)
    insert_attempt(store, "openai", tokens=None)
    assert scalar(store, "SELECT cost_usd FROM v_cost") is None


def test_cost_of_a_batch_is_half_and_of_the_tracer_nothing(store: Database) -> None:
    plan_calls(store, 1)
    insert_prices(store, RunSettings(prices={"m": {"input": 1.0, "output": 2.0}}))
    for backend in ("openai", "batch", "tracer"):
        insert_attempt(store, backend)
    with store.read() as connection:
        costs = connection.execute(text("SELECT backend, cost_usd FROM v_cost")).all()
        assert dict(map(tuple, costs)) == {"openai": 3.0, "batch": 1.5, "tracer": 0.0}
        assert usage_since(connection, 0).known_usd == pytest.approx(4.5)


def test_cost_per_correct_answer_includes_the_wrong_ones(sqlite_store: Database) -> None:
    with sqlite_store.write() as connection:
        insert_rows(connection, sources(3))
    priced = {"m": {"input": 1.0, "output": 2.0}}
    with Provider(answers=teach, latency=0.05).serving() as provider:
        run(sqlite_store, RunSettings(model="m", base_url=provider.url, slots=1, prices=priced))
    with sqlite_store.read() as connection:
        found = connection.execute(text("SELECT * FROM v_cost_per_correct ORDER BY kind")).all()
        spent = dict(
            connection.execute(text("SELECT kind, SUM(cost_usd) FROM v_cost GROUP BY kind")).all()
        )
    spent["all"] = sum(spent.values())
    assert spent["all"] > spent["predict_input"] + spent["predict_output"]  # rewriting
    assert [(row.kind, row.answered, row.correct) for row in found] == [
        ("all", 10, 6),  # one answer rewrote all three
        ("predict_input", 3, 3),
        ("predict_output", 6, 3),
    ]
    for row in found:
        assert row.usd_per_correct == pytest.approx(spent[row.kind] / row.correct)
