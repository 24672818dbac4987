"""Runs stop before a budget is exceeded, and answers that were paid for are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import budgets, jobs, responses
from annoy_store.errors import UsageError
from annoy_store.inference.backends import open_backend
from annoy_store.inference.budgeted_backend import BudgetedTeacher, max_prompt_tokens, with_budgets
from annoy_store.inference.budgets import BudgetShare
from annoy_store.inference.spend import usage_since
from annoy_store.interfaces import Request
from annoy_store.worker.run import RunResult, run
from tests.integration.test_interrupted_calls import plan_calls
from tests.support.factories import source
from tests.support.provider import Provider

PRICE = {"sim": {"input": 1.0, "cached": 0.1, "output": 4.0}}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(latency=0.01).serving() as running:
        yield running


def ask(store: Database, provider: Provider, **values: Any) -> RunResult:
    given = {"base_url": provider.url, "model": "sim", "prices": PRICE, "max_tokens": 100}
    return run(store, RunSettings(**{**given, **values}), ["complete"])


def states(store: Database) -> dict[str, int]:
    with store.read() as connection:
        found = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
        return {row[0]: row[1] for row in found}


def used(store: Database, name: str = "tokens") -> float:
    with store.read() as connection:
        usage = usage_since(connection, 0)
    if name == "usd":
        return usage.known_usd
    return usage.tokens["prompt"] + usage.tokens["completion"]


def row(store: Database, name: str) -> Any:
    with store.read() as connection:
        return connection.execute(select(budgets).where(budgets.c.name == name)).one()


@pytest.mark.slow_on("postgres")
def test_budget_stops_a_run_before_it_is_exceeded(store: Database, provider: Provider) -> None:
    plan_calls(store, 120)
    done = ask(store, provider, budget_tokens=3000)
    assert done.stopped == "budget of 3,000 tokens reached"
    maximum = 100 + 10
    assert 3000 - maximum <= used(store) <= 3000
    answered = states(store)["done"]
    assert states(store) == {"done": answered, "pending": 120 - answered}
    assert provider.stats()["paid"] == answered
    assert (row(store, "tokens").reserved, row(store, "tokens").used) == (0.0, used(store))


@pytest.mark.slow_on("postgres")
def test_budget_covers_the_store_and_not_the_run(store: Database, provider: Provider) -> None:
    plan_calls(store, 60)
    ask(store, provider, budget_tokens=1000)
    asked = provider.stats()["paid"]
    assert ask(store, provider, budget_tokens=1000).stopped
    assert provider.stats()["paid"] == asked
    assert ask(store, provider, budget_tokens=1_000_000).stopped is None
    assert states(store) == {"done": 60}


def test_budget_in_usd_counts_by_the_prices(sqlite_store: Database, provider: Provider) -> None:
    plan_calls(sqlite_store, 100)
    done = ask(sqlite_store, provider, budget_usd=0.01)
    assert done.stopped == "budget of 0.01 USD reached"
    assert 0.01 - 0.00042 <= used(sqlite_store, "usd") <= 0.01


def test_budget_in_usd_needs_a_price(sqlite_store: Database, provider: Provider) -> None:
    with pytest.raises(UsageError, match=r"\[prices.sim\]"):
        ask(sqlite_store, provider, budget_usd=1, prices={})


def test_budget_counts_an_answer_without_usage_as_its_maximum(
    sqlite_store: Database, provider: Provider
) -> None:
    provider.behave(usage=False)
    plan_calls(sqlite_store, 40)
    assert ask(sqlite_store, provider, budget_tokens=1090, max_connections=4).stopped
    assert states(sqlite_store)["done"] in (10, 9)


def test_budget_leaves_paid_answers_to_be_processed(
    sqlite_store: Database, provider: Provider
) -> None:
    with sqlite_store.write() as connection:
        insert_rows(connection, [source(f"x = {i}") for i in range(30)])
    bounded = RunSettings(
        base_url=provider.url, model="sim", max_tokens=100, budget_tokens=9000, slots=1
    )
    done = run(sqlite_store, bounded)
    assert done.stopped
    with sqlite_store.read() as connection:
        parsed = select(func.count()).where(jobs.c.stage == "parse", jobs.c.state == "rejected")
        answered = connection.scalar(select(func.count()).select_from(responses))
        assert connection.scalar(parsed) == answered > 0


def test_with_budgets_leaves_a_free_teacher_alone(
    sqlite_store: Database, provider: Provider, tmp_path: Path
) -> None:
    recorded = tmp_path / "answers.jsonl"
    recorded.write_text('{"contains": "x", "response": "y"}\n')
    limits = RunSettings(
        replay=recorded, base_url=provider.url, model="sim", budget_tokens=10, max_tokens=100
    )
    share = BudgetShare(sqlite_store, "tokens", 10.0)
    free, paid = (open_backend(name, limits, "sim") for name in ("replay", "openai"))
    assert with_budgets(sqlite_store, free, [share], limits) is free
    assert with_budgets(sqlite_store, paid, [], limits) is paid
    assert isinstance(with_budgets(sqlite_store, paid, [share], limits), BudgetedTeacher)


def test_max_prompt_tokens_counts_three_characters_a_token() -> None:
    messages = [{"role": "user", "content": "x" * 30}]
    assert max_prompt_tokens(Request(1, "transform", messages, 0)) == 11
