"""Budgets hold for calls whose usage is known hours later."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.tables import budgets
from annoy_store.errors import UsageError
from annoy_store.inference.spend import usage_since
from annoy_store.worker.run import run
from tests.batch.conftest import PRICES, RunOnce, all_batches
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider

pytestmark = pytest.mark.slow_on("postgres")

# A prompt of 15 characters counts as 6 tokens at most, its answer as 100: 406 / 2 millionths of a USD.
WORST = (6 * 1.0 + 100 * 4.0) / 1e6 / 2
REAL = (3 * 1.0 + 50 * 4.0) / 1e6 / 2


def row(store: Database, name: str = "usd") -> tuple[float, float]:
    with store.read() as connection:
        found = connection.execute(select(budgets).where(budgets.c.name == name)).one()
    return found.used, found.reserved


def test_reserve_keeps_to_the_budget(
    store: Database, provider: Provider, run_once: RunOnce
) -> None:
    plan_calls(store, 10)
    done = run_once(store, budget_usd=4.5 * WORST)
    assert done.progress.submitted_calls == 4
    assert done.stopped
    assert done.stopped.startswith("budget of")
    assert row(store) == (0.0, pytest.approx(4 * WORST))
    assert run_once(store, budget_usd=4.5 * WORST).progress.submitted_calls == 0


def test_reserve_spends_what_actual_usage_leaves(
    store: Database, provider: Provider, run_once: RunOnce
) -> None:
    """The budget holds at the end, over any number of runs."""
    plan_calls(store, 10)
    provider.behave(batch_ends=[{"polls": 0} for _ in range(9)])
    cap = 4.6 * WORST
    for _ in range(8):
        run_once(store, budget_usd=cap)
    with store.read() as connection:
        spent = usage_since(connection, 0).known_usd
    answers = kept(store)["answers"]
    assert spent == pytest.approx(answers * REAL)
    assert cap - WORST < spent <= cap
    used, reserved = row(store)
    assert (used, reserved) == (pytest.approx(spent), pytest.approx(0.0))


def test_budget_of_online_calls_counts_open_batches(
    store: Database, provider: Provider, run_once: RunOnce
) -> None:
    """Two calls in a batch may cost 406 millionths in all; one online call as much again."""
    plan_calls(store, 6)
    run_once(store, limit=2)
    online = RunSettings(
        base_url=provider.url, model="sim", prices=PRICES, max_tokens=100, budget_usd=3.9 * WORST
    )
    done = run(store, online, ["complete"])
    assert done.stopped
    assert kept(store)["answers"] == 0
    assert [b.state for b in all_batches(store)] == ["sent"]


def test_reserve_keeps_to_a_budget_of_tokens(
    sqlite_store: Database, provider: Provider, run_once: RunOnce, until_done: Callable[..., int]
) -> None:
    plan_calls(sqlite_store, 5)
    assert run_once(sqlite_store, budget_tokens=106 * 3 + 5).progress.submitted_calls == 3
    assert row(sqlite_store, "tokens") == (0.0, 318.0)
    until_done(sqlite_store)
    assert kept(sqlite_store)["answers"] == 5  # without a budget nothing is in the way
    assert row(sqlite_store, "tokens")[1] == 0.0


def test_budget_in_usd_needs_a_price(sqlite_store: Database, run_once: RunOnce) -> None:
    plan_calls(sqlite_store, 1)
    with pytest.raises(UsageError, match="--budget-usd needs the price of sim"):
        run_once(sqlite_store, budget_usd=1.0, prices={})
