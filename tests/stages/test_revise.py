"""revise: which wrong answers are asked about again."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import responses, turns, variants
from tests.support import chains


@pytest.mark.parametrize("first", ["wrong", None])
def test_revise_takes_one_of_several_answers_to_a_later_turn(
    run_stage, sqlite_store: Database, first: str | None
) -> None:
    """The first answer, or the one that has been revised already; first turns are all revised."""
    with sqlite_store.write() as connection:
        rows = chains.sampled("ant")
        rows += chains.chain(connection, chains.pairs_of(rows)[0], [("1", "wrong"), ("2", first)])
        insert_rows(connection, rows)
        asked = connection.execute(
            select(turns.c.number, turns.c.prompt_id).order_by(turns.c.number)
        )
        prompts = {row.number: row.prompt_id for row in asked}
        for number in (1, 2):
            chains.add_answer(connection, prompts[number], 1, f"{number} again", "wrong")
        connection.execute(update(variants).values(description="{}"))
    assert len(run_stage("revise", max_turns=3)) == (2 if first else 1)
    with sqlite_store.read() as connection:
        revised = select(responses.c.text).join(
            turns, turns.c.revises_response_id == responses.c.id
        )
        texts = set(connection.scalars(revised))
    assert texts == ({"1", "1 again", "2"} if first else {"1", "1 again"})
