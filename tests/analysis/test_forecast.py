"""A forecast counts present work, uses the measured yields, and reports what it had to guess."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text, update

from annoy_store.analysis import forecast as forecast_module
from annoy_store.analysis.expected_usage import latest_prices
from annoy_store.analysis.forecast import Forecast, forecast
from annoy_store.analysis.work_counts import WaitingTurns
from annoy_store.analysis.yields import History, read_yields
from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.db.tables import job_counters, jobs, metadata
from annoy_store.maintenance.rerun import count_rerun, enqueue_rerun
from annoy_store.queue.counters import add_to_counters
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.variants import load_plan
from annoy_store.records.policy import load_policy
from annoy_store.stages import PIPELINE
from annoy_store.tasks.policy import changed_policy
from tests.support import chains, factories

pytestmark = pytest.mark.slow_on("postgres")

POLICY = Policy()
MANY = 1_000  # so many rows that the usual yields weigh nothing
SEEN = History(
    jobs={
        "transform": {"done": 10 * MANY},
        "parse": {"done": 8 * MANY, "rejected": 2 * MANY},
        "generate": {"done": 4 * MANY, "rejected": 4 * MANY},
        "predict": {"done": 18 * MANY, "rejected": 6 * MANY},
    },
    calls={
        k: {"done": 9 * MANY, "failed": MANY}
        for k in ("transform", "predict_output", "predict_input")
    },
    questions={
        "predict_output": {"done": 12 * MANY},
        "predict_input": {"done": 6 * MANY, "rejected": 6 * MANY},
    },
    verdicts={
        (kind, turn): (told[0] * MANY, told[1] * MANY)
        for kind in ("predict_output", "predict_input")
        for turn, told in ((1, (6, 12)), (2, (1, 4)))
    },
)


def expected_work(
    *given: Any,
) -> tuple[dict[str, float], dict[tuple[str, int], float], list[str]]:
    """Return the expected work, with the parts of stages that are one per task added up."""
    expected, calls, unmeasured = forecast_module.expected_work(*given)
    total: dict[str, float] = defaultdict(float)
    for key, n in expected.items():
        total[key.partition(":")[0]] += n
    return total, calls, unmeasured


def choose_big(kind: str) -> tuple[str, str | None]:
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
        return forecast(connection, history, before, after, choose_big, known, **options)


# Expected work -------------------------------------------------------------------------------


def test_expected_work_follows_the_measured_yields() -> None:
    expected, calls, unmeasured = expected_work(
        {"transform": 100}, WaitingTurns(), SEEN, POLICY, POLICY
    )
    assert unmeasured == []
    assert expected["parse"] == pytest.approx(90, rel=0.01)
    assert expected["generate"] == pytest.approx(72, rel=0.01)
    assert expected["predict"] == pytest.approx(72 * 24 / 8, rel=0.01)
    assert calls["predict_output", 1] == pytest.approx(108, rel=0.01)
    assert calls["predict_input", 1] == pytest.approx(54, rel=0.01)
    assert calls["predict_output", 2] == pytest.approx(108 * 0.9 * 0.5, rel=0.01)
    assert expected["complete"] == pytest.approx(sum(calls.values()))


def test_expected_work_grows_with_turns_and_pairs() -> None:
    base = expected_work({"generate": 10}, WaitingTurns(), SEEN, POLICY, POLICY)[0]
    pairs = expected_work(
        {"generate": 10}, WaitingTurns(), SEEN, Policy(pairs_per_sample=6), POLICY
    )[0]
    turns = expected_work({"generate": 10}, WaitingTurns(), SEEN, Policy(max_turns=3), POLICY)[0]
    assert pairs["complete"] == pytest.approx(2 * base["complete"], rel=0.01)
    assert turns["complete"] > base["complete"]
    assert (
        expected_work({"generate": 10}, WaitingTurns(), SEEN, Policy(max_turns=1), POLICY)[0][
            "revise"
        ]
        == 0
    )


def test_expected_work_without_history_is_usual_and_reported() -> None:
    expected, _, unmeasured = expected_work(
        {"transform": 100}, WaitingTurns(), History(), POLICY, POLICY
    )
    samples = 100 * 0.98 * 0.98 * 0.85
    assert expected["generate"] == pytest.approx(samples)
    assert expected["predict"] == pytest.approx(2 * samples * 0.7 * POLICY.pairs_per_sample)
    assert expected["revise"] == pytest.approx(expected["predict"] * 0.95 * 0.98 / 2)
    assert set(unmeasured) == {"transform", "complete", "parse", "generate", "predict", "turn 1"}


def test_expected_work_of_no_work_is_zero() -> None:
    expected, calls, unmeasured = expected_work({}, WaitingTurns(), History(), POLICY, POLICY)
    assert not any(expected.values())
    assert not any(calls.values())
    assert unmeasured == []


# A store -------------------------------------------------------------------------------------


def test_forecast_of_an_empty_store(store: Database) -> None:
    found = predicted(store)
    assert found.calls == 0
    assert found.usd == 0
    assert found.notes == ()


def test_forecast_of_more_turns_counts_the_calls_that_can_be(store: Database) -> None:
    """A wrong answer of turn 2 is asked about once more, in turn 3, and no other is."""
    filled(store, "ant", "bee", "cow")
    with store.write() as connection:
        enqueue_all(connection, load_plan(connection, PIPELINE))
        connection.execute(update(jobs).values(state="done"))
        connection.execute(delete(job_counters))
    assert predicted(store).calls == 0
    found = predicted(store, {"max_turns": "3"})
    assert {(one.kind, one.turn): one.calls for one in found.call_forecasts} == {
        ("predict_input", 3): 3
    }
    assert (found.expected["revise"], round(found.expected["verify"])) == (3, 3)
    assert 5 < predicted(store, {"max_turns": "4"}).calls < 6


def test_forecast_writes_nothing(store: Database) -> None:
    with store.write() as connection:
        factories.write_all(connection, [factories.source("a"), factories.source("b")])
    before = _everything(store)
    found = predicted(
        store,
        {"template_transform": "transform", "pairs_per_sample": "7", "tolerance": "0.5"},
        again={"verify": None},
    )
    assert _everything(store) == before
    assert found.work["transform"].new == 2
    assert found.expected["predict"] == pytest.approx(2 * 0.98**2 * 0.85 * 0.7 * 14)


def _everything(store: Database) -> dict[str, int]:
    with store.read() as connection:
        return {
            t.name: connection.scalar(select(func.count()).select_from(t)) or 0
            for t in metadata.sorted_tables
        }


def test_forecast_of_a_changed_policy_shows_what_only_a_rerun_would_do(store: Database) -> None:
    with store.write() as connection:
        factories.write_all(connection, [factories.sample(problem=str(n)) for n in range(3)])
        enqueue_all(connection, load_plan(connection, PIPELINE))
        connection.execute(text("UPDATE jobs SET state = 'done' WHERE subject_id < 3"))
        add_to_counters(connection, 0, {("generate", "pending"): -2, ("generate", "done"): 2})
    assert predicted(store).work["generate"].rerun == 0
    found = predicted(store, {"cpu_seconds": "7"})
    assert (found.work["generate"].rerun, sum(found.work["generate"].open.values())) == (2, 1)
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


def test_forecast_of_verifying_again_makes_no_calls(store: Database) -> None:
    filled(store, "ant")
    with store.write() as connection:
        enqueue_all(connection, load_plan(connection, PIPELINE))
        connection.execute(text("UPDATE jobs SET state = 'done'"))
        connection.execute(text("UPDATE job_counters SET state = 'done'"))
    found = predicted(store, {"tolerance": "0.1"}, again={"verify": None})
    assert found.expected["verify"] == 5
    assert found.call_forecasts == ()
