"""The views of marks: which answers a mark concerns, and the tags of chains."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select, text

from annoy_store.db.engine import Database
from annoy_store.db.tables import io_pairs, responses, samples, turns, verdicts
from annoy_store.records.annotations import Mark, remove_mark, set_mark
from tests.support import chains
from tests.support.marks import BAD, MARKED, mark_some

CONCERNED = "SELECT DISTINCT chain_id FROM v_answer_marks WHERE mark = 'tag' ORDER BY 1"


def tags(store: Database) -> dict[int, list[str]]:
    with store.read() as connection:
        found = connection.execute(text("SELECT chain_id, tags FROM v_chains ORDER BY 1"))
        return {chain: json.loads(listed) for chain, listed in found}


def test_chains_without_tags_have_an_empty_list(store: Database) -> None:
    chains.fill(store, ["ant"])
    assert set(map(tuple, tags(store).values())) == {()}


def test_chains_have_the_tags_of_what_they_are_made_of(store: Database) -> None:
    chains.fill(store, ["ant"])
    with store.write() as connection:
        mark_some(connection)
    found = tags(store)
    first = min(found)
    own = ['Z "quoted" \\ % :x', "bad question", "\u00e9"]
    assert {*own, "a sample", "a source", "a origin"} <= set(found[first])
    assert all(listed == sorted(set(listed)) for listed in found.values())
    of_all = {tag for listed in found.values() for tag in listed}
    assert of_all == {*own, *(f"a {kind}" for kind in MARKED)}
    others = [found[key] for key in found if key != first]
    assert others
    assert all({"a sample", "a source", "a origin"} <= set(listed) for listed in others)
    assert all("bad question" not in listed for listed in others)


@pytest.mark.parametrize("kind", ["response", "verdict", "turn", "prompt"])
def test_marks_of_a_later_turn_are_those_of_its_chain(store: Database, kind: str) -> None:
    chains.fill(store, ["ant"])
    with store.write() as connection:
        turn = connection.execute(select(turns).where(turns.c.number == 2)).mappings().first()
        assert turn
        later = "SELECT response_id FROM v_answers WHERE turn_id = :turn"
        answer = connection.scalar(text(later), {"turn": turn["id"]}) or 0
        judged = select(verdicts.c.id).where(verdicts.c.response_id == answer)
        key = {
            "response": answer,
            "verdict": connection.scalar(judged) or 0,
            "turn": turn["id"],
            "prompt": turn["prompt_id"],
        }[kind]
        set_mark(connection, kind, key, BAD, "ann")
        assert connection.scalars(text(CONCERNED)).all() == [turn["chain_response_id"]]
        remove_mark(connection, kind, key, BAD, "ann")
        assert connection.scalars(text(CONCERNED)).all() == []


def test_marks_of_a_pair_and_a_sample_concern_their_chains_only(store: Database) -> None:
    chains.fill(store, ["ant", "bee"])
    of_pair = "SELECT DISTINCT chain_id FROM v_chains WHERE io_pair_id = :key ORDER BY 1"
    of_sample = "SELECT DISTINCT chain_id FROM v_chains WHERE sample_id = :key ORDER BY 1"
    with store.write() as connection:
        for kind, column, query in (
            ("io_pair", io_pairs.c.id, of_pair),
            ("sample", samples.c.id, of_sample),
        ):
            key = connection.scalar(select(column).order_by(column.desc())) or 0
            set_mark(connection, kind, key, BAD, "ann")
            wanted = connection.scalars(text(query), {"key": key}).all()
            assert connection.scalars(text(CONCERNED)).all() == wanted
            assert 0 < len(wanted) < 6
            remove_mark(connection, kind, key, BAD, "ann")


def test_a_chain_and_its_first_answer_are_marked_apart(store: Database) -> None:
    chains.fill(store, ["ant"])
    with store.write() as connection:
        first = connection.scalar(select(responses.c.id).order_by(responses.c.id)) or 0
        set_mark(connection, "chain", first, Mark("flag"), "ann")
        shown = connection.execute(text("SELECT kind, subject_id FROM v_annotations")).all()
        assert [tuple(row) for row in shown] == [("chain", first)]
