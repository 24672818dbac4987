"""Budgets hold over calls, runs and workers, and what was paid for is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import budgets, jobs, responses
from annoy_store.errors import CallPostponed, UsageError
from annoy_store.inference.budgets import BudgetShare, open_budget
from annoy_store.inference.spend import usage_since
from annoy_store.queue.workers import register_worker, unregister_worker
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


def test_open_budget_recomputes_when_no_worker_is_active(sqlite_store: Database) -> None:
    open_budget(sqlite_store, "tokens", 500.0)
    with sqlite_store.write() as connection:
        connection.execute(update(budgets).values(reserved=300.0, used=77.0))
        worker = register_worker(connection, ["complete"], 30)
    open_budget(sqlite_store, "tokens", 400.0)
    assert tuple(row(sqlite_store, "tokens"))[:4] == ("tokens", 400.0, 300.0, 77.0)
    with sqlite_store.write() as connection:
        unregister_worker(connection, worker)
    open_budget(sqlite_store, "tokens", 400.0)
    assert tuple(row(sqlite_store, "tokens"))[:4] == ("tokens", 400.0, 0.0, 0.0)


def test_share_drain_ends_waits(sqlite_store: Database) -> None:
    async def scenario() -> None:
        share = BudgetShare(sqlite_store, "tokens", 100.0)
        await share.reserve(80.0)
        waiting = asyncio.create_task(share.reserve(80.0))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        share.drain()
        with pytest.raises(CallPostponed):
            await waiting
        assert not share.reached

    asyncio.run(scenario())


def test_share_counts_what_is_released_during_an_exchange(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last call in flight ends while the store says that there is nothing left."""

    async def scenario() -> None:
        share = BudgetShare(sqlite_store, "tokens", 100.0)
        await share.reserve(80.0)
        exchange = share._exchange_with_store

        def exchange_slowly(spent: float, back: float, least: float, most: float) -> float:
            block = exchange(spent, back, least, most)
            loop.call_soon_threadsafe(share.settle, 80.0, 10.0)
            monkeypatch.undo()
            return block

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(share, "_exchange_with_store", exchange_slowly)
        await share.reserve(85.0)
        assert not share.reached

    asyncio.run(asyncio.wait_for(scenario(), 10))


@settings(max_examples=15, deadline=None)
@given(
    cap=st.integers(50, 400),
    calls=st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1)), min_size=1, max_size=60),
    workers=st.integers(1, 3),
)
def test_shares_of_workers_never_exceed_the_budget(
    shared: Database, cap: int, calls: list[tuple[int, float]], workers: int
) -> None:
    spent = 0.0

    async def call(share: BudgetShare, maximum: int, fraction: float) -> None:
        nonlocal spent
        await share.reserve(maximum)
        await asyncio.sleep(0)
        spent += maximum * fraction
        assert spent <= cap + 1e-6
        share.settle(maximum, maximum * fraction)

    async def all_workers() -> None:
        with shared.write() as connection:
            connection.execute(budgets.delete())
        shares = [BudgetShare(shared, "tokens", float(cap)) for _ in range(workers)]
        jobs = [call(shares[i % workers], *c) for i, c in enumerate(calls)]
        ended = await asyncio.gather(*jobs, return_exceptions=True)
        assert {type(e) for e in ended} <= {type(None), CallPostponed}
        for share in shares:
            await share.close()

    asyncio.run(all_workers())
    left = row(shared, "tokens")
    assert left.reserved == pytest.approx(0.0, abs=1e-6)
    assert left.used == pytest.approx(spent)


@pytest.fixture(scope="module")
def shared(_sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    import shutil

    from annoy_store.db.migrate import open_store

    path = tmp_path_factory.mktemp("budgets") / "store.db"
    shutil.copy(_sqlite_template, path)
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()
