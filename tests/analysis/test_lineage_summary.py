"""The summary of a lineage tells turns by their number, and when they are of several teachers."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from annoy_store.analysis.lineage import lineage
from annoy_store.analysis.lineage_summary import summary
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import responses, turns
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")


def facts_of(store: Database, model: str) -> list[str]:
    """The summary of a chain whose second turn has two answers, the last one by a model."""
    with store.write() as connection:
        rows = chains.sampled("ant")
        answers = [("1", "wrong"), ("2", "correct")]
        rows += chains.chain(connection, chains.pairs_of(rows)[0], answers, model="first")
        insert_rows(connection, rows)
        asked = connection.scalar(select(turns.c.prompt_id).where(turns.c.number == 2)) or 0
        chains.add_answer(connection, asked, 1, "again", "wrong", model)
        first = connection.scalar(select(responses.c.id).where(responses.c.text == "1"))
        return list(summary(lineage(connection, f"chain:{first}")))


def test_summary_numbers_verdicts_by_turn(store: Database) -> None:
    assert "turn 1 wrong, turn 2 correct, turn 2 wrong" in facts_of(store, "first")


def test_summary_tells_of_several_teachers(sqlite_store: Database) -> None:
    [fact] = [fact for fact in facts_of(sqlite_store, "second") if "teachers" in fact]
    assert fact.startswith("several teachers: turn 1 by first, turn 2 by first, turn 2 by second;")
    assert "--same-teacher" in fact


def test_summary_of_one_teacher_names_none(sqlite_store: Database) -> None:
    assert not any("teachers" in fact for fact in facts_of(sqlite_store, "first"))
