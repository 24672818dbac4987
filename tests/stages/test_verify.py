"""verify checks answers by task; revise asks wrong ones again, chain by chain."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select, text

from annoy_store.db.engine import Database
from annoy_store.db.tables import executions, prompts, turns, verdicts
from annoy_store.interfaces import NewRow
from tests.support import factories

pytestmark = pytest.mark.slow_on("postgres")


def answered(kind: str, reply: str, call_no: int = 0) -> list[NewRow]:
    sample = factories.sample()
    pair = factories.io_pair(sample, {"x": 4}, 8)
    turn, *calls = factories.asked(f"{kind}?", kind, about="pair", io_pair_id=pair)
    from annoy_store.records.prompts import new_calls

    calls = new_calls(turn.values["prompt_id"], call_no + 1)
    return [turn, factories.response(calls[call_no], reply)]


def judged(store: Database) -> list[tuple[str, str | None]]:
    with store.read() as connection:
        return [
            tuple(r) for r in connection.execute(select(verdicts.c.status, verdicts.c.mismatch))
        ]  # type: ignore[misc]


def test_verify_compares_outputs_without_running_code(run_stage, sqlite_store: Database) -> None:
    run_stage("verify", answered("predict_output", '```json\n{"output": 8}\n```'))
    assert judged(sqlite_store) == [("correct", None)]
    with sqlite_store.read() as connection:
        assert connection.execute(select(executions)).all() == []


def test_verify_accepts_any_input_that_gives_the_output(run_stage, sqlite_store: Database) -> None:
    run_stage("verify", answered("predict_input", '{"input": {"x": 4.0}}'))
    assert judged(sqlite_store) == [("correct", None)]
    with sqlite_store.read() as connection:
        row = connection.execute(select(executions)).one()
    assert (row.purpose, row.outcome, row.response_id) == ("verify", "ok", 1)


def test_verify_reports_the_output_of_a_wrong_input(run_stage, sqlite_store: Database) -> None:
    run_stage("verify", answered("predict_input", '{"input": {"x": 5}}'))
    with sqlite_store.read() as connection:
        verdict = connection.execute(select(verdicts)).one()
    assert (verdict.status, verdict.got) == ("wrong", "10")
    assert "10" in verdict.feedback


def test_verify_feedback_does_not_contain_the_output(run_stage, sqlite_store: Database) -> None:
    run_stage("verify", answered("predict_output", '{"output": 7}'))
    with sqlite_store.read() as connection:
        verdict = connection.execute(select(verdicts)).one()
    assert verdict.status == "wrong"
    assert "8" not in verdict.feedback


def test_revise_asks_again_with_feedback(run_stage, sqlite_store: Database) -> None:
    run_stage("verify", answered("predict_output", '{"output": 7}'))
    [outcome] = run_stage("revise")
    assert outcome.state == "done"
    with sqlite_store.read() as connection:
        again = connection.execute(select(turns).where(turns.c.number == 2)).one()
        messages = json.loads(
            connection.scalars(
                select(prompts.c.messages).where(prompts.c.id == again.prompt_id)
            ).one()
        )
    assert (again.revises_response_id, again.chain_response_id, again.io_pair_id) == (1, 1, 1)
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == '{"output": 7}'


def test_revise_skips_correct_answers_and_last_turns(run_stage, sqlite_store: Database) -> None:
    run_stage("verify", answered("predict_output", '{"output": 8}'))
    assert run_stage("revise") == []
    run_stage("verify", answered("predict_input", '{"input": {"x": 5}}'), max_turns=1)
    assert run_stage("revise") == []
    assert len(run_stage("revise", max_turns=2)) == 1


def test_revise_gives_equal_answers_their_own_second_turn(
    run_stage, sqlite_store: Database
) -> None:
    rows = answered("predict_output", '{"output": 7}', 0) + answered(
        "predict_output", '{"output": 7}', 1
    )
    run_stage("verify", rows)
    run_stage("revise")
    with sqlite_store.read() as connection:
        second = connection.execute(select(turns).where(turns.c.number == 2)).all()
        chains = connection.execute(text("SELECT chain_id, turn_2_id, closed FROM v_chains")).all()
    assert len(second) == 2
    assert len({t.prompt_id for t in second}) == 1
    assert sorted(c.chain_id for c in chains) == [1, 2]
    assert all(c.turn_2_id and not c.closed for c in chains)
