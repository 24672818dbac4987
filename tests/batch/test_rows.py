"""Rows of batches: which run works on one, which calls are open, and how one ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from annoy_store.batch import rows
from annoy_store.batch.files import export_requests
from annoy_store.batch.rows import (
    IS_OPEN,
    BatchRow,
    acquire_batch,
    close_items,
    end_batch,
    find_batches,
    is_due,
    open_call_pages,
    open_calls,
    update_batch,
)
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.sql import clock
from annoy_store.db.tables import budgets
from annoy_store.queue.workers import register_worker, unregister_worker
from tests.integration.test_interrupted_calls import plan_calls

pytestmark = pytest.mark.slow_on("postgres")

SETTINGS = RunSettings(
    teacher="batch",
    model="sim",
    base_url="http://localhost:8000/v1",
    max_tokens=100,
    budget_tokens=10_000,
)


@pytest.fixture
def batch(store: Database, tmp_path: Path) -> BatchRow:
    """Return a batch of seven calls that is exported to a file."""
    plan_calls(store, 7)
    export_requests(store, SETTINGS, tmp_path / "in.jsonl")
    with store.read() as connection:
        (row,) = find_batches(connection)
    return row


def test_acquire_batch_gives_it_to_one_live_worker(store: Database, batch: BatchRow) -> None:
    with store.write() as connection:
        first, second = (register_worker(connection, ["complete"], 30) for _ in range(2))
        assert acquire_batch(connection, batch.id, first)
        assert acquire_batch(connection, batch.id, first)
        assert not acquire_batch(connection, batch.id, second)
        unregister_worker(connection, first)
        assert acquire_batch(connection, batch.id, second)


def test_update_batch_changes_nothing_if_a_condition_fails(
    store: Database, batch: BatchRow
) -> None:
    with store.write() as connection:
        assert not update_batch(connection, batch.id, ~IS_OPEN, error="late")
        assert update_batch(connection, batch.id, IS_OPEN, error="in time")
        assert [b.error for b in find_batches(connection)] == ["in time"]


def test_open_call_pages_leave_out_closed_items(
    store: Database, batch: BatchRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.write() as connection:
        calls = open_calls(connection, batch.id)
        close_items(connection, batch.id, calls[:2])
        assert open_calls(connection, batch.id, after=calls[3], most=2) == calls[4:6]
    assert list(open_call_pages(store, batch.id)) == [calls[2:]]


def test_end_batch_releases_its_budget_once(store: Database, batch: BatchRow) -> None:
    def reserved() -> float:
        with store.read() as connection:
            return float(connection.scalars(select(budgets.c.reserved)).one())

    assert reserved() > 0
    for _ in range(2):
        with store.write() as connection:
            end_batch(connection, batch, error="released")
        assert reserved() == 0.0
    with store.read() as connection:
        (ended,) = find_batches(connection)
    assert (ended.state, ended.error, ended.due_at) == ("ended", "released", None)


def test_is_due_compares_with_the_clock_of_the_store(store: Database, batch: BatchRow) -> None:
    for wait, is_in_time in ((None, True), (-1.0, True), (60.0, False)):
        due = None if wait is None else clock() + wait
        with store.write() as connection:
            update_batch(connection, batch.id, due_at=due)
            assert bool(find_batches(connection, is_due())) == is_in_time


def test_input_file_name_holds_the_name_of_the_batch(store: Database, batch: BatchRow) -> None:
    assert rows.input_file_name(batch) == f"annoy-{batch.name}.jsonl"
