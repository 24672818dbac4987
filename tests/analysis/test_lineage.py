"""A lineage has all ancestors in order, and a limited number of descendants."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import insert, select

from annoy_store.analysis.lineage import Lineage, lineage
from annoy_store.analysis.lineage_edges import EDGES, KINDS, TABLES
from annoy_store.analysis.lineage_text import as_dict, render_markdown
from annoy_store.db.engine import Database
from annoy_store.db.tables import jobs, responses, samples, turns
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture
def filled(store: Database) -> Database:
    chains.fill(store, ("ant", "bee"))
    return store


def read_lineage(store: Database, name: str, most: int = 20) -> Lineage:
    with store.read() as connection:
        return lineage(connection, name, most)


def repaired(store: Database) -> int:
    """Return a chain whose second turn corrected the first."""
    with store.read() as connection:
        answer = select(responses.c.id).where(responses.c.text == "no idea").limit(1)
        return connection.scalars(answer).one()


def kinds(nodes: Any) -> list[str]:
    return [node.kind for node in nodes]


def test_lineage_of_a_chain_has_all_ancestors_in_order(filled: Database) -> None:
    found = read_lineage(filled, f"chain:{repaired(filled)}")
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


@pytest.mark.slow
def test_lineage_edges_agree_in_both_directions(filled: Database) -> None:
    """Every descendant of a row has that row among its ancestors."""
    for kind, table in TABLES.items():
        with filled.read() as connection:
            ids = list(connection.scalars(select(table.c.id).limit(2)))
        for row_id in ids:
            for node in read_lineage(filled, f"{kind}:{row_id}", 3).below:
                above = {n.key for n in read_lineage(filled, f"{node.kind}:{node.id}", 1).above}
                assert (kind, row_id) in above, (kind, row_id, node.key)


def test_lineage_below_a_sample_is_a_tree(filled: Database) -> None:
    with filled.read() as connection:
        sample = connection.scalars(select(samples.c.id).limit(1)).one()
    found = read_lineage(filled, f"sample:{sample}")
    keys = {node.key for node in found.below}
    assert all(node.parent in keys | {found.subject.key} for node in found.below)
    assert {"io_pair", "turn", "prompt", "call", "response", "verdict", "chain"} <= set(
        kinds(found.below)
    )
    assert kinds(found.below).count("chain") == 3


def test_lineage_counts_omitted_rows(filled: Database) -> None:
    with filled.read() as connection:
        sample = connection.scalars(select(samples.c.id).limit(1)).one()
    found = read_lineage(filled, f"sample:{sample}", most=1)
    assert kinds(found.below).count("io_pair") == 1
    assert found.omitted["io_pair"] == 1
    assert "and 1 more of io_pair" in "\n".join(render_markdown(found))


def test_lineage_has_the_jobs_of_its_rows(filled: Database) -> None:
    row = {"stage": "transform", "subject_id": 1, "variant_id": 1, "state": "rejected"}
    with filled.write() as connection:
        connection.execute(insert(jobs).values(**row, reason="too_long", detail="999 chars"))
    found = read_lineage(filled, "source:1")
    assert found.subject.jobs[0]["reason"] == "too_long"
    assert "[transform rejected: too_long (999 chars)]" in "\n".join(render_markdown(found))


def test_markdown_does_not_repeat_messages(filled: Database) -> None:
    whole = "\n".join(render_markdown(read_lineage(filled, f"chain:{repaired(filled)}")))
    text = whole[whole.index("\n# sample ") :]  # below the chain at a glance
    assert text.count("What does ant give?") + text.count("What does bee give?") == 2
    assert "(the first 1 of 3 messages as above)" in text


def test_markdown_fences_are_longer_than_backticks_in_the_text(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",), code="def main_solution(x):\n    return '```'\n")
    text = "\n".join(render_markdown(read_lineage(sqlite_store, "sample:1")))
    assert "````python\ndef main_solution(x):\n    return '```'\n````" in text


def test_as_dict_has_all_rows(filled: Database) -> None:
    shown = json.loads(json.dumps(as_dict(read_lineage(filled, f"chain:{repaired(filled)}"))))
    assert (shown["kind"], shown["below"]) == ("chain", [])
    assert {"kind", "id", "row", "jobs"} <= shown["above"][0].keys()


def test_lineage_edges_cover_every_kind() -> None:
    linked = {edge.above for edge in EDGES} | {edge.below for edge in EDGES}
    assert set(KINDS) - linked == {"teacher", "export"}


def test_lineage_of_a_source_has_its_transform_turn(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",))
    with sqlite_store.write() as connection:
        first = connection.scalars(select(turns.c.id).limit(1)).one()
        connection.execute(turns.update().where(turns.c.id == first).values(source_id=1))
    assert ("turn", first) in [node.key for node in read_lineage(sqlite_store, "source:1").below]
    assert read_lineage(sqlite_store, "source:1").above[0].kind == "origin"
