"""A chain at a glance: question, answers, verdicts, feedback."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from annoy_store.analysis.lineage import lineage
from annoy_store.analysis.lineage_turns import turn_sections
from annoy_store.db.engine import Database
from annoy_store.db.tables import responses
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")


def test_turn_sections_show_the_ends_and_the_verdicts(store: Database) -> None:
    chains.fill(store, ("ant",))
    with store.write() as connection:
        answer = select(responses.c.id).where(responses.c.text == "no idea").limit(1)
        chain = connection.scalars(answer).one()
        long = "\n".join(f"line {n}" for n in range(30))
        connection.execute(update(responses).where(responses.c.id == chain).values(text=long))
        found = list(turn_sections(lineage(connection, f"chain:{chain}")))
        assert list(turn_sections(lineage(connection, "source:1"))) == []
    assert [s.text for s in found if s.role == "row"] == [
        "turn 1: predict_output",
        "turn 2: predict_output",
    ]
    (bad,) = [s.text for s in found if s.role == "bad"]
    (good,) = [s.text for s in found if s.role == "good"]
    assert bad.startswith("verdict: wrong")
    assert good.startswith("verdict: correct")
    texts = [s.text for s in found]
    assert f"end of the answer (all of it: annoy show response:{chain})" in texts
    assert "…\n" + "\n".join(f"line {n}" for n in range(22, 30)) in texts
    assert texts.count("feedback") >= 1
