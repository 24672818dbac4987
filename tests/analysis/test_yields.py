"""Yields are measured on ended jobs, verdicts and attempts."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, text

from annoy_store.analysis import yields
from annoy_store.analysis.yields import read_yields
from annoy_store.db.engine import Database
from annoy_store.db.tables import attempts, prices
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.variants import load_plan
from annoy_store.stages import PIPELINE
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")


def filled(store: Database, *names: str) -> None:
    chains.fill(store, names)
    with store.write() as connection:
        connection.execute(text("UPDATE variants SET description = '{}'"))


def test_read_yields_measures_the_store(store: Database) -> None:
    filled(store, "ant", "bee")
    tried(store, 1, 2, 3)
    with store.read() as connection:
        found = read_yields(connection)
    assert found.verdicts["predict_output", 1] == (2, 4)
    assert found.verdicts["predict_input", 1] == found.verdicts["predict_input", 2] == (0, 2)
    assert sum(s.prompt_tokens or 0 for s in found.usage) == 600
    assert {s.cost_usd for s in found.usage} == {0.0}  # the tracer is free
    assert set(found.jobs) <= {stage.name for stage in PIPELINE}


def test_read_yields_samples_a_large_store_from_first_to_last_row(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store, "ant", "bee")
    tried(store, *range(1, 9))
    monkeypatch.setattr(yields, "MAX_SAMPLED_ROWS", 4)
    monkeypatch.setattr(yields, "SLICES", 2)
    with store.read() as connection:
        total = sum(s.prompt_tokens or 0 for s in read_yields(connection).usage)
    assert total == 100 * (1 + 2 + 7 + 8)


def tried(store: Database, *which: int) -> None:
    """Add an attempt of each of these calls with rising usage, and a price."""
    with store.write() as connection:
        enqueue_all(connection, load_plan(connection, PIPELINE))
        for call in which:
            row = {
                "call_id": call,
                "teacher_id": 1,
                "worker_id": 1,
                "latency_ms": 1.0,
                "status": "ok",
                "started_at": "2026",
                "prompt_tokens": 100 * call,
                "completion_tokens": 5,
            }
            connection.execute(insert(attempts).values(row))
        price = {"model": "tracer", "from_time": "2025", "input": 1, "cached": 1, "output": 1}
        connection.execute(insert(prices).values(price))
