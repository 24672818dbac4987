"""Marks of readers: set, removed, read, and kept from rows that are taken down."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, func, select, update

from annoy_store.analysis.lineage_edges import KINDS
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import annotation_log, responses, samples, teachers, turns
from annoy_store.errors import UsageError
from annoy_store.ingest.takedowns import lift, take_down
from annoy_store.interfaces import NewRow
from annoy_store.records.annotations import (
    MARKED_KINDS,
    MAX_TAG_CHARS,
    Mark,
    as_dict,
    marked_key,
    marked_rows,
    marks_of,
    remove_mark,
    set_mark,
    tags_of,
)
from annoy_store.records.digests import annotation_digest
from tests.support import chains

BAD = Mark("tag", "bad question")
FLAG = Mark("flag")


def held(connection: Connection, kind: str, row_id: int) -> list[Mark]:
    return [one.mark for one in marks_of(connection, kind, [row_id]).get(row_id, [])]


def test_set_mark_and_remove_mark_add_rows_once(store: Database) -> None:
    chains.fill(store, ["ant"])
    with store.write() as connection:
        assert set_mark(connection, "sample", 1, FLAG, "ann")
        assert set_mark(connection, "sample", 1, BAD, "ann")
        assert not set_mark(connection, "sample", 1, BAD, "bob")
        assert set_mark(connection, "sample", 1, Mark("note", " What? \n Why? "), "bob")
        assert held(connection, "sample", 1) == [FLAG, BAD, Mark("note", "What? \n Why?")]
        assert [one.author for one in marks_of(connection, "sample", [1])[1]] == [
            "ann",
            "ann",
            "bob",
        ]
        assert remove_mark(connection, "sample", 1, BAD, "bob")
        assert not remove_mark(connection, "sample", 1, BAD, "bob")
        assert not remove_mark(connection, "sample", 1, Mark("tag", "other"), "bob")
        assert held(connection, "sample", 1) == [FLAG, Mark("note", "What? \n Why?")]
        assert len(connection.execute(select(annotation_log)).all()) == 4
        assert marks_of(connection, "source", [1]) == {}


def test_set_mark_counts_after_a_removal_whatever_the_clock_says(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains.fill(store, ["ant"])
    times = iter(
        ["2026-01-01T00:00:00.999Z", "2025-01-01T00:00:00.000Z", "2026-01-01T00:00:00.999Z"]
    )
    monkeypatch.setattr("annoy_store.records.annotations.utc_now", lambda: next(times))
    with store.write() as connection:
        set_mark(connection, "sample", 1, BAD, "ann")
        remove_mark(connection, "sample", 1, BAD, "ann")
        assert held(connection, "sample", 1) == []
        set_mark(connection, "sample", 1, BAD, "ann")
        assert held(connection, "sample", 1) == [BAD]
        stamps = connection.scalars(select(annotation_log.c.created_at).order_by("id")).all()
    assert list(stamps) == [
        "2026-01-01T00:00:00.999Z",
        "2026-01-01T00:00:01.000Z",
        "2026-01-01T00:00:01.001Z",
    ]


def test_set_mark_takes_every_kind_of_row(store: Database) -> None:
    """A kind is marked itself, or by what it is about; nothing else is."""
    chains.fill(store, ["ant"])
    with store.write() as connection:
        for kind in MARKED_KINDS:
            if kind == "export":
                continue
            key = (
                connection.scalar(select(func.max(teachers.c.id))) or 0 if kind == "teacher" else 1
            )
            assert set_mark(connection, kind, key, Mark("tag", kind), "ann")
            assert held(connection, kind, key) == [Mark("tag", kind)]
        assert marked_key(connection, "call", 1) == ("prompt", 1)
        assert marked_key(connection, "pair_check", 1)[0] == "io_pair"
        assert set_mark(connection, "call", 1, FLAG, "ann")
        assert held(connection, "prompt", 1) == [FLAG, Mark("tag", "prompt")]
    by_another = {"call", "execution", "pair_check", "export_row"}
    assert set(KINDS) == {*MARKED_KINDS, *by_another}


def test_marks_are_those_of_equal_content(store: Database) -> None:
    """Two equal answers to one prompt have the same marks, and other answers have not."""
    chains.fill(store, ["ant"])
    with store.write() as connection:
        prompt = connection.scalar(select(turns.c.prompt_id).where(turns.c.number == 1)) or 0
        same = chains.add_answer(connection, prompt, 5, "equal", "wrong")
        twin = chains.add_answer(connection, prompt, 6, "equal", "wrong")
        other = chains.add_answer(connection, prompt, 7, "another", "wrong")
        set_mark(connection, "response", same, BAD, "ann")
        found = marks_of(connection, "response", [same, twin, other])
        assert {key: tags_of(marks) for key, marks in found.items()} == {
            same: ["bad question"],
            twin: ["bad question"],
        }


def test_set_mark_completes_the_digest_of_an_answer(store: Database) -> None:
    chains.fill(store, ["ant"])
    with store.write() as connection:
        connection.execute(update(responses).values(digest=None))
        for kind in ("response", "chain", "verdict"):
            set_mark(connection, kind, 1, FLAG, "ann")
            assert held(connection, kind, 1) == [FLAG]


def test_marks_are_hidden_while_their_row_is_taken_down(store: Database) -> None:
    chains.fill(store, ["ant", "bee"])
    with store.write() as connection:
        ant = connection.scalar(
            select(samples.c.id).where(samples.c.problem_statement.contains("ant"))
        )
        turn = connection.execute(select(turns).where(turns.c.sample_id == ant)).first()
        assert ant
        assert turn
        marked = [("sample", ant), ("prompt", turn.prompt_id), ("turn", turn.id)]
        digest = connection.scalar(select(samples.c.digest).where(samples.c.id == ant)) or ""
        for kind, key in marked:
            set_mark(connection, kind, key, BAD, "ann")
        take_down(connection, "sample", digest, "asked")
        assert [held(connection, *key) for key in marked] == [[], [], []]
        assert marked_rows(connection, 9) == []
    with pytest.raises(UsageError, match="taken down"), store.write() as connection:
        set_mark(connection, "sample", ant, FLAG, "ann")
    with store.write() as connection:
        lift(connection, "sample", digest)
        assert [held(connection, *key) for key in marked] == [[BAD], [BAD], [BAD]]


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        (Mark("tag", " "), "empty"),
        (Mark("note", "\n"), "empty"),
        (Mark("tag", "x" * (MAX_TAG_CHARS + 1)), "longer than"),
        (Mark("tag", "two\nlines"), "one line"),
        (Mark("star"), "unknown mark"),
    ],
)
def test_set_mark_refuses_what_is_no_mark(sqlite_store: Database, mark: Mark, words: str) -> None:
    chains.fill(sqlite_store, ["ant"])
    with sqlite_store.write() as connection, pytest.raises(UsageError, match=words):
        set_mark(connection, "sample", 1, mark, "ann")


def test_marked_rows_are_listed_the_newest_first(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains.fill(store, ["ant"])
    times = (f"2026-01-0{n}T00:00:00.000Z" for n in range(1, 9))
    monkeypatch.setattr("annoy_store.records.annotations.utc_now", lambda: next(times))
    with store.write() as connection:
        for kind in ("source", "sample", "prompt"):
            set_mark(connection, kind, 1, BAD, "ann")
        set_mark(connection, "source", 1, FLAG, "ann")
        found = marked_rows(connection, 9)
        assert [kind for (kind, _), _ in found] == ["source", "prompt", "sample"]
        assert [one.mark for one in found[0][1]] == [FLAG, BAD]
        assert marked_rows(connection, 1) == found[:1]
        assert [key for key, _ in marked_rows(connection, 9, FLAG)] == [("source", 1)]


def test_as_dict_has_a_list_of_tags_always() -> None:
    assert as_dict([]) == {"flagged": False, "tags": [], "notes": []}


ROWS = st.lists(
    st.tuples(
        st.sampled_from([FLAG, BAD, Mark("tag", "b"), Mark("note", "n")]),
        st.booleans(),
        st.sampled_from(["ann", "bob"]),
        st.integers(0, 3),
    ),
    max_size=8,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ROWS)
def test_the_newest_row_of_a_mark_counts(
    sqlite_store: Database, rows: list[tuple[Mark, bool, str, int]]
) -> None:
    """In whatever order rows were added: so that stores can be merged in any order."""
    with sqlite_store.write() as connection:
        if connection.scalar(select(samples.c.id)) is None:
            insert_rows(connection, chains.sampled("ant"))
        connection.execute(delete(annotation_log))
        digest = connection.scalar(select(samples.c.digest)) or ""
        wanted: dict[Mark, tuple[str, str, bool]] = {}
        for mark, is_set, author, at in rows:
            values = {"kind": "sample", "root": digest, "subject": digest, "mark": mark.kind}
            values |= {"value": mark.value, "is_set": int(is_set), "author": author}
            values |= {"created_at": f"2026-01-0{at + 1}T00:00:00.000Z"}
            named = annotation_digest(values)
            insert_rows(connection, [NewRow(annotation_log, values | {"digest": named})])
            newest = values["created_at"], named, is_set
            wanted[mark] = max(wanted.get(mark, newest), newest)
        found = {one.mark for one in marks_of(connection, "sample", [1]).get(1, [])}
        assert found == {mark for mark, (_, _, is_set) in wanted.items() if is_set}
