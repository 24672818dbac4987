"""A plan counts what is there, expects what the store has seen, and never hides a guess."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

from annoy_store.analysis import forecast as forecast_module
from annoy_store.analysis import yields
from annoy_store.analysis.forecast import (
    Asking,
    Forecast,
    cost,
    forecast,
    latest_prices,
    stand,
)
from annoy_store.analysis.yields import History, Spent, read_yields
from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.db.tables import attempts, jobs, metadata, prices
from annoy_store.inference.prices import Price
from annoy_store.maintenance.rerun import count_rerun, enqueue_rerun
from annoy_store.queue.counters import add_to_counters
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.variants import load_plan
from annoy_store.records.policy import load_policy
from annoy_store.stages import PIPELINE
from annoy_store.tasks.policy import changed_policy
from tests.support import chains, factories

POLICY = Policy()
SEEN = History(
    jobs={
        "transform": {"done": 10},
        "parse": {"done": 8, "rejected": 2},
        "generate": {"done": 4, "rejected": 4},
        "predict": {"done": 18, "rejected": 6},
    },
    asked={k: {"done": 9, "failed": 1} for k in ("transform", "predict_output", "predict_input")},
    questions={"predict_output": {"done": 12}, "predict_input": {"done": 6, "rejected": 6}},
    judged={1: (6, 12), 2: (1, 4)},
    spent=(
        Spent("transform", 1, "openai", "big", 10, 1000, 0, 500, 1.0),
        Spent("predict_output", 1, "openai", "big", 10, 2000, 1000, 100, None),
        Spent("predict_output", 1, "openai", "small", 10, 4000, 0, 300, 0.5),
    ),
)


def flow(*given: Any) -> tuple[dict[str, float], dict[tuple[str, int], float], list[str]]:
    """What is expected, with the parts of a stage that is one per task added up."""
    expected, asked, unseen = forecast_module.flow(*given)
    total: dict[str, float] = defaultdict(float)
    for key, n in expected.items():
        total[key.partition(":")[0]] += n
    return total, asked, unseen


def everybody(kind: str) -> tuple[str, str | None]:
    return "openai", "big"


def filled(store: Database, *names: str) -> None:
    chains.fill(store, names)
    with store.write() as connection:
        connection.execute(text("UPDATE variants SET description = '{}'"))


def predicted(store: Database, changes: dict[str, str] | None = None, **options: Any) -> Forecast:
    with store.read() as connection:
        history = read_yields(connection)
        before = load_policy(connection)
        after = changed_policy(before, changes or {})
        known = latest_prices(connection, {})
        return forecast(connection, history, before, after, everybody, known, **options)


# What comes of it ----------------------------------------------------------------------------


def test_work_flows_through_what_the_store_has_seen() -> None:
    expected, asked, guessed = flow({"transform": 100}, {}, SEEN, POLICY, POLICY)
    assert guessed == []
    assert expected["parse"] == pytest.approx(90)
    assert expected["generate"] == pytest.approx(72)
    assert expected["predict"] == pytest.approx(72 * 24 / 8)
    assert asked["predict_output", 1] == pytest.approx(108)
    assert asked["predict_input", 1] == pytest.approx(54)
    assert asked["predict_output", 2] == pytest.approx(108 * 0.9 * 0.5)
    assert expected["complete"] == pytest.approx(sum(asked.values()))


def test_more_turns_and_pairs_make_more() -> None:
    base = flow({"generate": 10}, {}, SEEN, POLICY, POLICY)[0]
    pairs = flow({"generate": 10}, {}, SEEN, Policy(pairs_per_sample=6), POLICY)[0]
    turns = flow({"generate": 10}, {}, SEEN, Policy(max_turns=3), POLICY)[0]
    assert pairs["complete"] == pytest.approx(2 * base["complete"])
    assert turns["complete"] > base["complete"]
    assert flow({"generate": 10}, {}, SEEN, Policy(max_turns=1), POLICY)[0]["revise"] == 0


def test_what_nobody_has_seen_is_the_most_it_can_be_and_said() -> None:
    expected, _, guessed = flow({"transform": 1}, {}, History(), POLICY, POLICY)
    assert expected["predict"] == 2 * POLICY.pairs_per_sample
    assert expected["verify"] == 4 * POLICY.pairs_per_sample
    assert set(guessed) == {"transform", "complete", "parse", "generate", "predict", "turn 1"}


def test_nothing_comes_of_nothing() -> None:
    expected, asked, guessed = flow({}, {}, History(), POLICY, POLICY)
    assert not any(expected.values())
    assert not any(asked.values())
    assert guessed == []


# What it costs -------------------------------------------------------------------------------


def one(asked: dict[tuple[str, int], float], choose: Any = everybody, **known: Any) -> Asking:
    [found] = cost(asked, SEEN, choose, known)
    return found


def test_the_model_that_will_be_asked_tells_the_cost() -> None:
    found = one({("predict_output", 1): 5}, big=Price(1.0, 0.5, 10.0))
    assert (found.prompt_tokens, found.completion_tokens) == (1000, 50)
    assert found.usd == pytest.approx(5 * ((200 - 100) * 1.0 + 100 * 0.5 + 10 * 10.0) / 1e6)


def test_without_a_price_the_average_is_taken_if_there_is_one() -> None:
    assert one({("transform", 1): 5}).usd == pytest.approx(0.5)
    assert one({("predict_output", 1): 5}).usd is None


def test_another_model_is_judged_by_all_and_its_own_price() -> None:
    found = one({("predict_output", 1): 1}, lambda _: ("openai", "new"), new=Price(1.0, 1.0, 1.0))
    assert found.prompt_tokens == 300
    assert found.usd == pytest.approx((300 + 20) / 1e6)
    assert one({("predict_output", 1): 1}, lambda _: ("openai", "new")).usd is None


def test_a_batch_costs_half_and_programs_nothing() -> None:
    full = one({("transform", 1): 4}, big=Price(1.0, 1.0, 1.0))
    half = one({("transform", 1): 4}, lambda _: ("batch", "big"), big=Price(1.0, 1.0, 1.0))
    assert half.usd == pytest.approx((full.usd or 0) / 2)
    assert one({("transform", 1): 4}, lambda _: ("tracer", None)).usd == 0


def test_what_nobody_was_asked_is_unknown() -> None:
    found = one({("predict_input", 1): 3})
    assert (found.prompt_tokens, found.completion_tokens, found.usd) == (None, None, None)


# A store -------------------------------------------------------------------------------------


def test_a_plan_of_an_empty_store(store: Database) -> None:
    found = predicted(store)
    assert found.calls == 0
    assert found.usd == 0
    assert found.notes == ()


def test_a_plan_writes_nothing(store: Database) -> None:
    with store.write() as connection:
        factories.write_all(connection, [factories.source("a"), factories.source("b")])
    before = _everything(store)
    found = predicted(
        store,
        {"template_transform": "transform", "pairs_per_sample": "7", "tolerance": "0.5"},
        again={"verify": None},
    )
    assert _everything(store) == before
    assert found.now["transform"].new == 2
    assert found.expected["predict"] == 2 * 14


def _everything(store: Database) -> dict[str, int]:
    with store.read() as connection:
        return {
            t.name: connection.scalar(select(func.count()).select_from(t)) or 0
            for t in metadata.sorted_tables
        }


def test_open_calls_are_told_apart_by_kind(store: Database) -> None:
    filled(store, "ant")
    with store.write() as connection:
        first = text("SELECT id, sample_id FROM io_pairs ORDER BY id LIMIT 1")
        subject = dict(
            zip(("io_pair_id", "sample_id"), connection.execute(first).one(), strict=True)
        )
        rows = factories.asked("more?", kind="predict_input", about="more", **subject)
        factories.write_all(connection, [*rows, *factories.asked("transform me", about="t")])
        enqueue_all(connection, load_plan(connection, PIPELINE))
        factories.write_all(connection, factories.asked("later", about="later"))
    with store.read() as connection:
        now, waiting = stand(connection, load_policy(connection))
    assert dict(waiting) == {("predict_input", 1): 1, ("transform", 1): 2}
    assert (sum(now["complete"].open.values()), now["complete"].new) == (2, 1)


def test_a_changed_policy_shows_what_only_a_replan_would_do(store: Database) -> None:
    with store.write() as connection:
        factories.write_all(connection, [factories.sample(problem=str(n)) for n in range(3)])
        enqueue_all(connection, load_plan(connection, PIPELINE))
        connection.execute(text("UPDATE jobs SET state = 'done' WHERE subject_id < 3"))
        add_to_counters(connection, 0, {("generate", "pending"): -2, ("generate", "done"): 2})
    assert predicted(store).now["generate"].again == 0
    found = predicted(store, {"cpu_seconds": "7"})
    assert (found.now["generate"].again, sum(found.now["generate"].open.values())) == (2, 1)
    assert found.expected["generate"] == 1
    assert (
        predicted(store, {"cpu_seconds": "7"}, again={"generate": None}).expected["generate"] == 3
    )
    with store.write() as connection:
        connection.execute(text("INSERT INTO policies VALUES ('cpu_seconds', '7.0', 'x')"))
    assert count_rerun(store, "generate", [1, 3]) == 2
    assert enqueue_rerun(store, "generate", [1], None) == 1
    assert enqueue_rerun(store, "generate", None, 1) == 1
    assert enqueue_rerun(store, "generate") == 0
    with store.read() as connection:
        states = connection.execute(
            select(jobs.c.subject_id, jobs.c.state).order_by(jobs.c.subject_id, jobs.c.variant_id)
        ).all()
    assert sorted(map(tuple, states)) == [
        (1, "done"),
        (1, "pending"),
        (2, "done"),
        (2, "pending"),
        (3, "pending"),
    ]


def test_judging_again_asks_for_nothing(store: Database) -> None:
    filled(store, "ant")
    with store.write() as connection:
        enqueue_all(connection, load_plan(connection, PIPELINE))
        connection.execute(text("UPDATE jobs SET state = 'done'"))
        connection.execute(text("UPDATE job_counters SET state = 'done'"))
    found = predicted(store, {"tolerance": "0.1"}, again={"verify": None})
    assert found.expected["verify"] == 5
    assert found.asking == ()


def test_history_is_what_the_store_has_seen(store: Database) -> None:
    filled(store, "ant", "bee")
    tried(store, 1, 2, 3)
    with store.read() as connection:
        found = read_yields(connection)
    assert found.judged[1] == (2, 6)
    assert sum(s.prompt_tokens or 0 for s in found.spent) == 600
    assert {s.cost_usd for s in found.spent} == {0.0}  # the tracer is free
    assert set(found.jobs) <= {stage.name for stage in PIPELINE}


def test_a_large_store_is_sampled_from_its_first_row_to_its_last(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store, "ant", "bee")
    tried(store, *range(1, 9))
    monkeypatch.setattr(yields, "SAMPLE", 4)
    monkeypatch.setattr(yields, "SLICES", 2)
    with store.read() as connection:
        total = sum(s.prompt_tokens or 0 for s in read_yields(connection).spent)
    assert total == 100 * (1 + 2 + 7 + 8)


def tried(store: Database, *which: int) -> None:
    """A try of each of these calls, dearer and dearer, and its price."""
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
