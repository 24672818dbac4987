"""A predicted input that was run before is judged from the pair that holds it, and only then."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select, text, update

from annoy_store.db.engine import Database
from annoy_store.db.tables import executions, io_pairs, pair_checks, variants, verdicts
from annoy_store.interfaces import NewRow, Sandbox
from annoy_store.maintenance.check import check
from annoy_store.maintenance.rerun import (
    count_stale_answers,
    enqueue_rerun,
    enqueue_stale_answers,
)
from tests.stages.conftest import RunStage
from tests.support import factories
from tests.support.separate_processes import SeparateProcesses

pytestmark = pytest.mark.slow_on("postgres")

CODE = "def main_solution(x):\n    return x % 3\n"
GENERATOR = "import random\ndef input_generator():\n    return {'x': random.randint(0, 50)}\n"


def question(pair: int, reply: str, number: int = 0) -> list[NewRow]:
    """A question for the input of a stored pair, with its answer."""
    turn, *calls = factories.asked(
        f"{pair} {number}?", "predict_input", f"{pair}", sample_id=1, io_pair_id=pair
    )
    return [turn, *calls, factories.response(calls[0], reply)]


def stored(store: Database) -> list[tuple[int, str, str]]:
    with store.read() as connection:
        chosen = select(io_pairs.c.id, io_pairs.c.input, io_pairs.c.output)
        return [tuple(row) for row in connection.execute(chosen.order_by(io_pairs.c.id))]


def purposes(store: Database) -> list[str | None]:
    """Why the executions ran that the verdicts name, the oldest verdict first."""
    chosen = select(executions.c.purpose).select_from(verdicts.outerjoin(executions))
    with store.read() as connection:
        return list(connection.scalars(chosen.order_by(verdicts.c.id)))


def told(store: Database) -> list[tuple[Any, ...]]:
    """What the verdicts say."""
    columns = ("response_id", "status", "mismatch", "predicted", "got", "feedback")
    chosen = select(*(verdicts.c[name] for name in columns)).order_by(verdicts.c.response_id)
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(chosen)]


@pytest.fixture
def run_stage(run_stage_in: RunStage, store: Database) -> RunStage:
    """Do what `run_stage_in` does, in a store of either database."""
    return partial(run_stage_in, store)


@pytest.fixture
def generated(run_stage: RunStage, store: Database) -> Database:
    """A store with the pairs of one sample."""
    run_stage("generate", [factories.sample(CODE, GENERATOR)])
    return store


def answer(given: str) -> str:
    return f'I think: {{"input": {given}}}'


def test_verify_takes_the_result_of_a_stored_pair(run_stage: RunStage, generated: Database) -> None:
    pairs = stored(generated)
    right = next(p for p in pairs[1:] if p[2] == pairs[0][2])
    wrong = next(p for p in pairs if p[2] != pairs[0][2])
    run_stage("verify", [*question(1, answer(right[1])), *question(1, answer(wrong[1]), 1)])
    assert sorted(row[1] for row in told(generated)) == ["correct", "wrong"]
    assert purposes(generated) == ["check", "check"]
    with generated.read() as connection:
        named = set(connection.scalars(select(verdicts.c.execution_id)))
        confirming = set(connection.scalars(select(pair_checks.c.execution_id)))
    assert named == confirming


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE io_pairs SET seed = NULL",
        "UPDATE pair_checks SET status = 'unstable'",
        "UPDATE pair_checks SET lines_executed = 100000",
        "UPDATE pair_checks SET lines_executed = NULL",
        "UPDATE pair_checks SET execution_id = NULL",
        "UPDATE executions SET interpreter = 'another'",
        "UPDATE executions SET runner_version = 'another'",
        "UPDATE io_pairs SET sample_id = 2 WHERE id > 1",
    ],
)
def test_verify_runs_what_is_not_known(
    run_stage: RunStage, generated: Database, change: str
) -> None:
    given = stored(generated)[1][1]
    with generated.write() as connection:
        factories.write_all(connection, [factories.sample("def main_solution(x):\n    pass\n")])
        connection.execute(text(change))
    run_stage("verify", question(1, answer(given)))
    assert purposes(generated) == ["verify"]


def test_verify_runs_inputs_that_differ_in_a_byte(run_stage: RunStage, generated: Database) -> None:
    value = json.loads(stored(generated)[0][1])["x"]
    run_stage("verify", question(1, answer(f'{{"x": {value}.0}}')))
    assert purposes(generated) == ["verify"]


def test_verify_runs_inputs_again_under_other_limits(
    run_stage: RunStage, generated: Database
) -> None:
    given = stored(generated)[1][1]
    run_stage("verify", question(1, answer(given)), cpu_seconds=4)
    assert purposes(generated) == ["verify"]


def test_verify_says_the_same_where_it_runs_everything(
    run_stage: RunStage, sandbox: Sandbox, generated: Database
) -> None:
    replies = [answer(p[1]) for p in stored(generated)[:5]]
    rows = [row for n, reply in enumerate(replies) for row in question(1 + n % 2, reply, n)]
    run_stage("verify", rows)
    known = told(generated)
    assert purposes(generated) == ["check"] * 5
    with generated.write() as connection:
        connection.execute(
            update(executions).values(runner_version=SeparateProcesses(sandbox).info.runner_version)
        )
    assert enqueue_rerun(generated, "verify") == 0
    run_stage("verify", tolerance=0.002)
    assert enqueue_rerun(generated, "verify") == 5
    run_stage("verify")
    assert purposes(generated)[5:] == ["verify"] * 5
    assert sorted(told(generated)) == sorted(known * 2)


def change_output(store: Database, pair: int) -> None:
    with store.write() as connection:
        connection.execute(update(io_pairs).where(io_pairs.c.id == pair).values(output="77"))


def test_verdicts_are_judged_again_when_their_pair_stops_holding(
    run_stage: RunStage, generated: Database
) -> None:
    pairs = stored(generated)
    run_stage("verify", [*question(1, answer(pairs[1][1])), *question(1, "no idea", 1)])
    assert set(purposes(generated)) == {"check", None}
    change_output(generated, 2)
    enqueue_rerun(generated, "generate")
    run_stage("generate")
    assert [f.what for f in check(generated)] == []  # they wait to be judged
    run_stage("verify")
    assert purposes(generated)[2:] == ["verify"]
    with generated.read() as connection:
        current = connection.execute(text("SELECT execution_id FROM v_current_verdicts")).scalars()
        named = set(current)
        newest = connection.scalars(select(executions.c.id).order_by(-executions.c.id)).first()
        rounds = connection.scalars(
            select(variants.c.id).where(
                variants.c.task == "predict_input", variants.c.stage == "verify"
            )
        ).all()
    assert named == {newest, None}
    assert len(rounds) == 2
    assert count_stale_answers(generated) == 0


def test_verdicts_stay_where_other_pairs_stop_holding(
    run_stage: RunStage, generated: Database
) -> None:
    run_stage("verify", question(1, '{"input": {"x": 999}}'))
    change_output(generated, 2)
    enqueue_rerun(generated, "generate")
    run_stage("generate")
    assert run_stage("verify") == []
    assert purposes(generated) == ["verify"]


def test_check_finds_verdicts_that_were_not_judged_again(
    run_stage: RunStage, generated: Database
) -> None:
    """As when an answer was judged while its pair was checked."""
    run_stage("verify", question(1, answer(stored(generated)[1][1])))
    with generated.write() as connection:
        connection.execute(
            update(pair_checks).where(pair_checks.c.io_pair_id == 2).values(status="unstable")
        )
    [finding] = check(generated)
    assert (finding.table, finding.n) == ("verdicts", 1)
    assert "--stale" in finding.hint
    assert enqueue_stale_answers(generated) == 1
    assert check(generated) == []
    run_stage("verify")
    assert purposes(generated) == ["check", "verify"]
    assert enqueue_stale_answers(generated) == 0
