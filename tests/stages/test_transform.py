"""transform makes one prompt per source, once."""

from __future__ import annotations

import json

from sqlalchemy import insert, select

from annoy_store.db.engine import Database
from annoy_store.db.tables import calls, hidden_subjects, prompts, sources, turns
from annoy_store.prompts.template import extract_values
from tests.support import factories


def test_transform_writes_prompt_turn_and_call(run_stage, sqlite_store: Database) -> None:
    [outcome] = run_stage("transform", [factories.source("def f(x):\n    return x\n")])
    assert outcome.state == "done"
    with sqlite_store.read() as connection:
        messages = json.loads(connection.scalars(select(prompts.c.messages)).one())
        assert extract_values(messages)["code"] == "def f(x):\n    return x\n"
        turn = connection.execute(select(turns)).one()
        assert (turn.kind, turn.number, turn.io_pair_id) == ("transform", 1, None)
        call = connection.execute(select(calls)).one()
        assert (call.prompt_id, call.sample_no, call.pinned_teacher_id) == (turn.prompt_id, 0, 0)


def test_transform_finds_nothing_in_a_second_run(run_stage) -> None:
    assert len(run_stage("transform", [factories.source("a = 1")])) == 1
    assert run_stage("transform", [factories.source("a = 1")]) == []


def test_transform_rejects_blank_and_too_long_sources(run_stage) -> None:
    rows = [factories.source(" \n"), factories.source("x" * 5000)]
    outcomes = run_stage("transform", rows, max_prompt_chars=4000)
    assert sorted(o.reason for o in outcomes) == ["empty", "too_long"]
    assert {o.state for o in outcomes} == {"rejected"}


def test_transform_skips_a_source_that_was_taken_down(run_stage, sqlite_store: Database) -> None:
    from annoy_store.db.insert import insert_rows

    with sqlite_store.write() as connection:
        insert_rows(connection, [factories.source("secret = 1")])
        key = connection.scalar(select(sources.c.id))
        connection.execute(insert(hidden_subjects).values(kind="source", subject_id=key))
    assert run_stage("transform") == []
