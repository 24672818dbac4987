"""The numbers of a store's status are those of its tables."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from annoy_store.analysis.status import StoreStatus, store_status
from annoy_store.db.engine import Database
from annoy_store.db.states import STAGE_NAMES
from annoy_store.db.tables import attempts, calls, prices, prompts, teachers
from annoy_store.inference.spend import Usage
from annoy_store.queue.counters import add_to_counters
from annoy_store.stages import PIPELINE
from tests.support import factories as make

pytestmark = pytest.mark.slow_on("postgres")

PRICE = {"model": "m", "input": 1.0, "cached": 0.1, "output": 2.0}


def read_status(store: Database, before: Usage | None = None) -> StoreStatus:
    return store_status(store, PIPELINE, before)


def teacher(store: Database, teacher_id: int, backend: str, model: str) -> None:
    row = {"digest": f"t{teacher_id}", "backend": backend, "model": model, "base_url": ""}
    with store.write() as connection:
        connection.execute(insert(teachers).values(id=teacher_id, parameters="{}", **row))


def attempt(store: Database, teacher_id: int, **columns: Any) -> None:
    row = {"call_id": 1, "teacher_id": teacher_id, "worker_id": 1, "latency_ms": 1.0}
    row |= {"started_at": "2026-06-01T00:00:00.000Z", "status": "ok"}
    with store.write() as connection:
        connection.execute(insert(attempts).values(**row | columns))


@pytest.fixture
def called(store: Database) -> Database:
    """A store with a call that can have attempts."""
    prompt = {"id": 1, "digest": "p", "template": "t", "template_digest": "d", "n_chars": 1}
    with store.write() as connection:
        connection.execute(insert(prompts).values(messages="[]", **prompt))
        connection.execute(
            insert(calls).values(id=1, prompt_id=1, sample_no=0, pinned_teacher_id=0)
        )
    return store


def test_status_of_an_empty_store_suggests_ingest(store: Database) -> None:
    at = read_status(store)
    assert set(at.tables.values()) == {0}
    assert at.next_step().startswith("annoy ingest")
    assert at.usage.cost_usd == 0.0


def test_status_as_dict_has_its_keys(sqlite_store: Database) -> None:
    shown = read_status(sqlite_store).as_dict()
    assert {"store", "schema", "tables", "stages", "tokens", "cost_usd"} <= shown.keys()
    assert list(shown["stages"]) == list(STAGE_NAMES)
    assert shown["tokens"] == {"prompt": 0, "cached": 0, "completion": 0, "reasoning": 0}


def test_status_counts_new_sources_as_wanted(store: Database) -> None:
    with store.write() as connection:
        make.write_all(connection, [make.source(f"x = {i}") for i in range(3)])
    at = read_status(store)
    assert (at.tables["sources"], at.wanted["transform"]) == (3, 3)
    assert at.next_step().startswith("annoy run")


def test_status_jobs_are_those_of_the_counters(store: Database) -> None:
    with store.write() as connection:
        add_to_counters(connection, 1, {("parse", "done"): 3, ("parse", "failed"): 1})
        add_to_counters(connection, 2, {("parse", "done"): -1})
    at = read_status(store)
    assert at.stages["parse"] == {"done": 2, "failed": 1}
    assert (at.total("done", "failed"), at.total("pending")) == (3, 0)


def test_status_cost_uses_the_price_at_the_time_of_the_attempt(called: Database) -> None:
    teacher(called, 5, "openai", "m")
    with called.write() as connection:
        connection.execute(insert(prices).values(from_time="2026-01-01T00:00:00.000Z", **PRICE))
        dearer = PRICE | {"input": 10.0}
        connection.execute(insert(prices).values(from_time="2026-07-01T00:00:00.000Z", **dearer))
    used = {"prompt_tokens": 1_000_000, "cached_tokens": 500_000, "completion_tokens": 1_000_000}
    attempt(called, 5, **used)
    first = read_status(called).usage
    assert first.tokens == {
        "prompt": 1_000_000,
        "cached": 500_000,
        "completion": 1_000_000,
        "reasoning": 0,
    }
    assert first.cost_usd == pytest.approx(0.5 + 0.05 + 2.0)
    attempt(called, 5, **used, started_at="2026-08-01T00:00:00.000Z")
    assert read_status(called).usage.cost_usd == pytest.approx(2.55 + 5.0 + 0.05 + 2.0)
    assert read_status(called, first).usage == read_status(called).usage
    assert read_status(called, read_status(called).usage).usage == read_status(called).usage


def test_status_cost_is_unknown_when_an_answer_has_no_price(called: Database) -> None:
    teacher(called, 5, "openai", "unpriced")
    teacher(called, 6, "tracer", "rules")
    attempt(called, 6)
    assert read_status(called).usage.cost_usd == 0.0
    attempt(called, 5, status="failed")
    assert read_status(called).usage.cost_usd == 0.0
    attempt(called, 5, prompt_tokens=7, completion_tokens=7)
    usage = read_status(called).usage
    assert (usage.cost_usd, usage.known_usd, usage.unpriced, usage.attempts) == (None, 0.0, 1, 3)
