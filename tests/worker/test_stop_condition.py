"""A run ends when enough chains are correct, and keeps peak hours and prices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import attempts, calls, prices, teachers
from annoy_store.errors import UsageError
from annoy_store.inference.prices import Price, insert_prices, published_price, required_price
from annoy_store.inference.spend import usage_since
from annoy_store.worker import stop_condition
from annoy_store.worker.resources import WorkerResources
from annoy_store.worker.run import run
from tests.integration.test_interrupted_calls import plan_calls
from tests.integration.test_pipeline import sources, teach
from tests.support.provider import Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(answers=teach, latency=0.05).serving() as serving:
        yield serving


def settings(provider: Provider, **values: Any) -> RunSettings:
    return RunSettings(**{"model": "m", "base_url": provider.url, "slots": 1, **values})


def one(store: Database, question: str) -> Any:
    with store.read() as connection:
        return connection.execute(text(question)).scalar()


def test_run_ends_when_enough_chains_are_correct(
    sqlite_store: Database, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_condition, "CHECK_SECONDS", 0.05)
    with sqlite_store.write() as connection:
        insert_rows(connection, sources(*range(3, 15)))
    bounded = settings(provider, max_connections=4)
    done = run(sqlite_store, bounded, until_correct=5)
    correct = one(sqlite_store, "SELECT COUNT(*) FROM v_chains WHERE last_status = 'correct'")
    assert 5 <= correct < 72
    assert done.stop_condition == f"{correct} chains are correct; 5 were wanted"
    assert one(sqlite_store, "SELECT COUNT(*) FROM jobs WHERE state = 'pending'") > 0
    assert run(sqlite_store, bounded, until_correct=correct).by_stage() == {}


# Peak hours ----------------------------------------------------------------------------------


def test_run_sends_no_calls_in_peak_hours(sqlite_store: Database, provider: Provider) -> None:
    """It is peak until somebody sets the clock on; the run waits and says so."""
    plan_calls(sqlite_store, 3)
    now = datetime.now(UTC)
    begin, end = (now - timedelta(hours=2)), (now + timedelta(hours=2))
    hours = f"{begin:%H:%M}-{end:%H:%M}"
    hands = WorkerResources(sqlite_store, settings(provider, only_off_peak=True, peak_hours=hours))
    hands.open_teachers()
    assert hands.max_in_flight() == 0
    told = hands.peak_hours_end()
    assert told is not None
    assert abs(told - end) < timedelta(minutes=1)
    seen: list[str] = []

    def display(progress: Any) -> None:
        seen.append(progress.notice)
        if len(seen) == 3:
            stop[0]()

    stop: list[Any] = []
    bounded = settings(provider, only_off_peak=True, peak_hours=hours)
    run(sqlite_store, bounded, ["complete"], display=display, on_signal=stop.append)
    assert provider.counts["requests"] == 0
    assert set(seen) == {f"peak hours until {end:%a %H:%M} UTC: no calls are sent"}


def test_run_sends_all_calls_off_peak(sqlite_store: Database, provider: Provider) -> None:
    provider.answers = None
    plan_calls(sqlite_store, 3)
    begin = datetime.now(UTC) + timedelta(hours=3)
    hours = f"{begin:%H}-{begin + timedelta(hours=1):%H}"
    bounded = settings(provider, only_off_peak=True, peak_hours=hours)
    assert run(sqlite_store, bounded, ["complete"]).by_stage() == {"complete": {"done": 3}}


def test_peak_hours_must_be_known(sqlite_store: Database, provider: Provider) -> None:
    with pytest.raises(UsageError, match="say --peak-hours"):
        WorkerResources(sqlite_store, settings(provider, only_off_peak=True)).open_teachers()


# Prices --------------------------------------------------------------------------------------


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


# Cost ----------------------------------------------------------------------------------------


def tried(
    store: Database, backend: str, status: str = "ok", tokens: int | None = 1_000_000
) -> None:
    """One try of the first call, by a teacher of `backend` with the model `m`."""
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
                completion_tokens=tokens,
            )
        )


def test_cost_is_null_if_unknown(store: Database) -> None:
    plan_calls(store, 1)
    tried(store, "openai")
    assert one(store, "SELECT cost_usd FROM v_cost") is None
    insert_prices(store, RunSettings(prices={"m": {"input": 1.0, "output": 2.0}}))
    tried(store, "openai", "retry", None)
    assert one(store, "SELECT cost_usd FROM v_cost") == pytest.approx(3.0)
    tried(store, "openai", tokens=None)
    assert one(store, "SELECT cost_usd FROM v_cost") is None


def test_cost_of_a_batch_is_half_and_of_the_tracer_nothing(store: Database) -> None:
    plan_calls(store, 1)
    insert_prices(store, RunSettings(prices={"m": {"input": 1.0, "output": 2.0}}))
    for backend in ("openai", "batch", "tracer"):
        tried(store, backend)
    with store.read() as connection:
        told = connection.execute(text("SELECT backend, cost_usd FROM v_cost")).all()
        assert dict(map(tuple, told)) == {"openai": 3.0, "batch": 1.5, "tracer": 0.0}
        assert usage_since(connection, 0).known_usd == pytest.approx(4.5)


def test_cost_per_correct_answer_includes_the_wrong_ones(
    sqlite_store: Database, provider: Provider
) -> None:
    with sqlite_store.write() as connection:
        insert_rows(connection, sources(3))
    run(sqlite_store, settings(provider, prices={"m": {"input": 1.0, "output": 2.0}}))
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
