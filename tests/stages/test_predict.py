"""predict asks both questions of the first stable pairs, and nothing twice."""

from __future__ import annotations

import json
from collections import Counter

from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.tables import calls, pair_checks, prompts, turns, variants
from annoy_store.interfaces import NewRow
from annoy_store.prompts.template import extract_values
from tests.support import factories


def checked(
    outputs: list[object],
    statuses: list[str] | None = None,
    shown: list[str | None] | None = None,
) -> list[NewRow]:
    sample = factories.sample()
    variant = NewRow(
        variants, {"stage": "generate", "digest": "v", "description": "{}", "active": 0}
    )
    rows: list[NewRow] = []
    for i, output in enumerate(outputs):
        pair = factories.io_pair(sample, {"x": i}, output, i)
        values = {
            "io_pair_id": pair,
            "variant_id": variant,
            "execution_id": None,
            "lines_executed": 1,
            "shown": (shown or ["no"] * 99)[i],
        }
        rows.append(NewRow(pair_checks, values | {"status": (statuses or ["stable"] * 99)[i]}))
    return rows


def asked(store: Database) -> list[tuple[str, dict[str, str]]]:
    with store.read() as connection:
        rows = connection.execute(
            select(turns.c.kind, prompts.c.messages).join(prompts).order_by(turns.c.id)
        )
        return [(kind, extract_values(json.loads(messages))) for kind, messages in rows]


def test_predict_asks_three_pairs_in_both_directions(run_stage, sqlite_store: Database) -> None:
    run_stage("predict", checked([0, 2, 4, 6]))
    found = asked(sqlite_store)
    inputs = {p["input"] for kind, p in found if kind == "predict_output"}
    outputs = {p["output"] for kind, p in found if kind == "predict_input"}
    assert inputs == {'{"x":0}', '{"x":1}', '{"x":2}'}
    assert outputs == {"0", "2", "4"}
    assert all(p["code"] == factories.DOUBLE for _, p in found)
    assert all(not {"input", "output"} <= p.keys() for _, p in found)


def test_predict_asks_once_for_an_input_of_one_output(run_stage, sqlite_store: Database) -> None:
    outcomes = run_stage("predict", checked([7, 7, 8]))
    kinds = [kind for kind, _ in asked(sqlite_store)]
    assert kinds.count("predict_input") == 2
    assert kinds.count("predict_output") == 3
    assert sorted(str(o.reason) for o in outcomes) == [*["None"] * 5, "same_prompt"]
    assert [o.state for o in outcomes if o.reason] == ["rejected"]


def test_predict_asks_only_stable_pairs(run_stage, sqlite_store: Database) -> None:
    run_stage("predict", checked([0, 2, 4], ["stable", "unstable", "missing_module"]))
    assert len(asked(sqlite_store)) == 2


def test_predict_asks_the_next_pair_where_the_answer_stands_in_the_question(
    run_stage, sqlite_store: Database
) -> None:
    shown = ["call", "no", "input", "no", "no", "no"]
    outcomes = run_stage("predict", checked([0, 2, 4, 6, 8, 10], shown=shown))
    found = asked(sqlite_store)
    inputs = [p["input"] for kind, p in found if kind == "predict_output"]
    outputs = [p["output"] for kind, p in found if kind == "predict_input"]
    assert sorted(inputs) == ['{"x":1}', '{"x":2}', '{"x":3}']
    assert sorted(outputs) == ["2", "6", "8"]
    reasons = Counter(o.reason for o in outcomes)
    assert reasons == {None: 6, "answer_shown": 3}


def test_predict_does_not_count_a_shown_pair_as_the_one_with_the_same_output(
    run_stage, sqlite_store: Database
) -> None:
    run_stage("predict", checked([7, 7, 8], shown=["input", "no", "no"]))
    outputs = [p["output"] for kind, p in asked(sqlite_store) if kind == "predict_input"]
    assert sorted(outputs) == ["7", "8"]


def test_predict_asks_nothing_about_pairs_that_were_not_compared(
    run_stage, sqlite_store: Database
) -> None:
    run_stage("predict", checked([0, 2], shown=[None, None]))
    assert asked(sqlite_store) == []


def test_predict_asks_only_new_pairs_when_more_are_wanted(run_stage) -> None:
    assert len(run_stage("predict", checked([0, 2, 4, 6]))) == 6
    assert len(run_stage("predict", pairs_per_sample=4)) == 2
    assert run_stage("predict", pairs_per_sample=4) == []


def test_predict_plans_several_calls_per_prompt(run_stage, sqlite_store: Database) -> None:
    run_stage("predict", checked([0, 2]), samples_per_prompt=4, pairs_per_sample=1)
    with sqlite_store.read() as connection:
        numbers = list(connection.scalars(select(calls.c.sample_no)))
    assert sorted(numbers) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_predict_asks_about_old_pairs_when_a_task_is_enabled_later(
    run_stage, sqlite_store: Database
) -> None:
    run_stage("predict", checked([0, 2]), tasks="predict_output")
    assert {kind for kind, _ in asked(sqlite_store)} == {"predict_output"}
    assert len(run_stage("predict", tasks="predict_output, predict_input")) == 2
    assert [kind for kind, _ in asked(sqlite_store)].count("predict_input") == 2
    assert run_stage("predict") == []


def test_predict_asks_nothing_again_when_another_task_changes(
    run_stage, sqlite_store: Database
) -> None:
    run_stage("predict", checked([0, 2]))
    with sqlite_store.read() as connection:
        active = select(variants.c.task, variants.c.id).where(
            variants.c.active == 1, variants.c.stage == "predict"
        )
        before = dict(connection.execute(active).all())
    template = "predict_input_code_last"
    assert run_stage("predict", **{"predict_input.template": template}) == []
    with sqlite_store.read() as connection:
        after = dict(connection.execute(active).all())
    assert after["predict_output"] == before["predict_output"]
    assert after["predict_input"] != before["predict_input"]
