"""A lineage is complete upwards, in the order in which it came about, and bounded downwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import insert, select

from annoy_store.analysis.lineage import Lineage, lineage
from annoy_store.analysis.lineage_edges import EDGES, KINDS, TABLES
from annoy_store.analysis.lineage_text import as_dict, render_markdown
from annoy_store.db.engine import Database
from annoy_store.db.tables import jobs, responses, samples, sources, turns
from annoy_store.errors import UsageError
from tests.support import chains


@pytest.fixture
def filled(store: Database) -> Database:
    chains.fill(store, ("ant", "bee"))
    return store


def look(store: Database, name: str, most: int = 20) -> Lineage:
    with store.read() as connection:
        return lineage(connection, name, most)


def repaired(store: Database) -> int:
    """A chain whose second turn mended the first."""
    with store.read() as connection:
        answer = select(responses.c.id).where(responses.c.text == "no idea").limit(1)
        return connection.scalars(answer).one()


def kinds(nodes: Any) -> list[str]:
    return [node.kind for node in nodes]


def test_a_chain_comes_from_everything_before_it_in_order(filled: Database) -> None:
    found = look(filled, f"chain:{repaired(filled)}")
    order = kinds(found.above)
    assert found.subject.key == ("chain", repaired(filled))
    assert order.count("response") == order.count("verdict") == 2
    flow = [kind for kind in order if kind not in ("teacher", "export")]
    assert flow == [
        "sample",
        "io_pair",
        "turn",
        "prompt",
        "call",
        "response",
        "verdict",
        "turn",
        "prompt",
        "call",
        "response",
        "verdict",
    ]
    statuses = [node.row["status"] for node in found.above if node.kind == "verdict"]
    assert statuses == ["wrong", "correct"]


def test_up_and_down_are_the_same_edges(filled: Database) -> None:
    """What is below a row has that row above it, whatever the kind."""
    for kind, table in TABLES.items():
        with filled.read() as connection:
            ids = list(connection.scalars(select(table.c.id).limit(2)))
        for row_id in ids:
            for node in look(filled, f"{kind}:{row_id}", 3).below:
                above = {n.key for n in look(filled, f"{node.kind}:{node.id}", 1).above}
                assert (kind, row_id) in above, (kind, row_id, node.key)


def test_what_came_of_a_sample_is_a_tree(filled: Database) -> None:
    with filled.read() as connection:
        sample = connection.scalars(select(samples.c.id).limit(1)).one()
    found = look(filled, f"sample:{sample}")
    keys = {node.key for node in found.below}
    assert all(node.parent in keys | {found.subject.key} for node in found.below)
    assert {"io_pair", "turn", "prompt", "call", "response", "verdict", "chain"} <= set(
        kinds(found.below)
    )
    assert kinds(found.below).count("chain") == 3


def test_what_is_left_out_is_counted(filled: Database) -> None:
    with filled.read() as connection:
        sample = connection.scalars(select(samples.c.id).limit(1)).one()
    found = look(filled, f"sample:{sample}", most=1)
    assert kinds(found.below).count("io_pair") == 1
    assert found.left_out["io_pair"] == 1
    assert "and 1 more of io_pair" in "\n".join(render_markdown(found))


def test_jobs_stand_beside_their_subject(filled: Database) -> None:
    row = {"stage": "transform", "subject_id": 1, "variant_id": 1, "state": "rejected"}
    with filled.write() as connection:
        connection.execute(insert(jobs).values(**row, reason="too_long", detail="999 chars"))
    found = look(filled, "source:1")
    assert found.subject.jobs[0]["reason"] == "too_long"
    assert "[transform rejected: too_long (999 chars)]" in "\n".join(render_markdown(found))


def test_a_digest_names_a_row(filled: Database) -> None:
    with filled.read() as connection:
        row = connection.execute(select(sources.c.id, sources.c.digest).limit(1)).one()
    assert look(filled, f"source:{row.digest}").subject.id == row.id
    if not row.digest[:10].isdecimal():
        assert look(filled, f"source:{row.digest[:10]}").subject.id == row.id


@pytest.mark.parametrize(
    "name",
    [
        "",
        "source",
        "source:",
        "source:0",
        "source:999",
        "source:zzzzzzzz",
        "nothing:1",
        "chain:x",
        "source:-1",
        "source:1;--",
        "chain:999999",
        "source:99999999999999999999",
        "source:\u0661",
    ],
)
def test_what_is_not_there_is_told(sqlite_store: Database, name: str) -> None:
    with pytest.raises(UsageError) as told:
        look(sqlite_store, name)
    assert "\n" not in str(told.value)


def test_messages_told_before_are_not_repeated(filled: Database) -> None:
    text = "\n".join(render_markdown(look(filled, f"chain:{repaired(filled)}")))
    assert text.count("What does ant give?") + text.count("What does bee give?") == 2
    assert "(the first 1 of 3 messages as above)" in text


def test_no_text_ends_its_own_block(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",), code="def main_solution(x):\n    return '```'\n")
    text = "\n".join(render_markdown(look(sqlite_store, "sample:1")))
    assert "````python\ndef main_solution(x):\n    return '```'\n````" in text


def test_json_says_it_all(filled: Database) -> None:
    told = json.loads(json.dumps(as_dict(look(filled, f"chain:{repaired(filled)}"))))
    assert (told["kind"], told["below"]) == ("chain", [])
    assert {"kind", "id", "row", "jobs"} <= told["above"][0].keys()


def test_every_kind_is_on_an_edge() -> None:
    linked = {edge.above for edge in EDGES} | {edge.below for edge in EDGES}
    assert set(KINDS) - linked == {"teacher", "export"}


def test_a_source_leads_to_its_transform_turn(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",))
    with sqlite_store.write() as connection:
        first = connection.scalars(select(turns.c.id).limit(1)).one()
        connection.execute(turns.update().where(turns.c.id == first).values(source_id=1))
    assert ("turn", first) in [node.key for node in look(sqlite_store, "source:1").below]
    assert look(sqlite_store, "source:1").above[0].kind == "origin"
