"""Budgets that workers share: none is exceeded, and unused reservations are returned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from annoy_store.db.engine import Database
from annoy_store.db.tables import budgets
from annoy_store.errors import CallPostponed
from annoy_store.inference.budgets import BudgetShare, open_budget
from annoy_store.queue.workers import register_worker, unregister_worker


def row(store: Database, name: str) -> Any:
    with store.read() as connection:
        return connection.execute(select(budgets).where(budgets.c.name == name)).one()


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
