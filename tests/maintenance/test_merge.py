"""Copies are the same store, merges add what is new, backups are consistent."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

from annoy_store.db.engine import Database, connect
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.sql import insert_new
from annoy_store.db.tables import (
    attempts,
    calls,
    jobs,
    origins,
    responses,
    sample_origins,
    samples,
    sources,
    turn_pairs,
    turns,
    workers,
)
from annoy_store.errors import StoreError, UsageError
from annoy_store.interfaces import NewRow, Outcome, Row, StageContext, done
from annoy_store.maintenance.backup import backup
from annoy_store.maintenance.check import check
from annoy_store.maintenance.copy import copy
from annoy_store.maintenance.fingerprint import content_differences, content_digests
from annoy_store.maintenance.merge import merge
from annoy_store.maintenance.merge_calls import CallsByNumber, place_call
from annoy_store.queue.workers import register_worker
from tests.support import factories
from tests.support.small_pipeline import (
    ANSWER,
    JUDGE,
    SPREAD,
    TOYS,
    ToyWorker,
    add_sources,
    answer,
    doing,
)


def grow(store: Database, start: int, n: int, word: str = "") -> None:
    """Sources from `start` on with all rows that follow; answers depend on `word`."""

    def say(row: Row, tools: StageContext) -> Outcome:
        response = answer(row, tools).rows[0]
        spoken = {**response.values, "text": f"{word}{row['messages']}"}
        tried = {"call_id": row["subject_id"], "teacher_id": 0, "worker_id": tools.worker_id}
        tried |= {"started_at": f"{word} {row['subject_id']}", "latency_ms": 1.5, "status": "ok"}
        tried |= dict.fromkeys(("error_class", "http_status", "prompt_tokens", "cached_tokens"))
        tried |= dict.fromkeys(("completion_tokens", "reasoning_tokens", "model", "error_message"))
        return done(NewRow(responses, spoken), NewRow(attempts, tried))

    add_sources(store, n, start)
    with store.write() as connection:
        insert_rows(connection, [factories.origin(factories.source(f"x = {start}\n"), repo=word)])
    speaking = doing(ANSWER, say, writes=(responses, attempts))
    ToyWorker(store, [SPREAD, speaking, JUDGE]).run()


def held(store: Database) -> dict[str, Counter[str]]:
    with store.read() as connection:
        return content_digests(connection, TOYS)


def lineage(store: Database) -> Counter[tuple[str, str, str]]:
    """Every sample with its answer and its raw file."""
    joined = (
        select(samples.c.digest, responses.c.text, sources.c.content)
        .join(sample_origins, sample_origins.c.sample_id == samples.c.id)
        .join(responses, responses.c.id == sample_origins.c.response_id)
        .join(calls, calls.c.id == responses.c.call_id)
        .join(turns, turns.c.prompt_id == calls.c.prompt_id)
        .join(sources, sources.c.id == turns.c.source_id)
    )
    with store.read() as connection:
        return Counter(tuple(row) for row in connection.execute(joined))


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Database], str]:
    """The URL of a new store on the other kind of database."""

    def place_for(store: Database) -> str:
        if not store.is_sqlite:
            return f"sqlite:///{tmp_path}/moved.db"
        server = make_url(request.getfixturevalue("postgres_server"))
        name = f"moved_{tmp_path.name[-20:].lower().replace('-', '_')}"
        engine = create_engine(
            server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        engine.dispose()
        return server.set(database=name).render_as_string(hide_password=False)

    return place_for


# Copies --------------------------------------------------------------------------------------


def test_copy_is_the_same_store_and_goes_on(
    store: Database, elsewhere: Callable[[Database], str]
) -> None:
    grow(store, 0, 5)
    url = elsewhere(store)
    copied = copy(store, url)
    moved = open_store(url)
    assert copied.rows["sources"] == 5
    assert copied.rows["jobs"] == 35
    assert content_differences(held(store), held(moved)) == {}
    with store.read() as left, moved.read() as right:
        chosen = select(responses).order_by(responses.c.id)
        assert left.execute(chosen).all() == right.execute(chosen).all()
    grow(moved, 5, 3)  # new ids follow the old ones
    assert check(moved) == []
    assert sum(held(moved)["samples"].values()) == 24
    moved.close()


def test_copy_there_and_back_is_identical(
    sqlite_store: Database, elsewhere: Callable[[Database], str], tmp_path: Path
) -> None:
    grow(sqlite_store, 0, 3)
    url = elsewhere(sqlite_store)
    there = copy(sqlite_store, url)
    middle = open_store(url)
    back = copy(middle, f"sqlite:///{tmp_path}/back.db")
    middle.close()
    assert back == there
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("back")) == ["back.db"]


def test_copy_needs_an_empty_target(store: Database, elsewhere: Callable[[Database], str]) -> None:
    grow(store, 0, 1)
    url = elsewhere(store)
    copy(store, url)
    with pytest.raises(StoreError, match=r"exists|not empty"):
        copy(store, url)


def test_copy_needs_idle_workers(sqlite_store: Database, tmp_path: Path) -> None:
    with sqlite_store.write() as connection:
        register_worker(connection, ["spread"], 30.0)
    with pytest.raises(StoreError, match="1 workers are active"):
        copy(sqlite_store, f"sqlite:///{tmp_path}/x.db")
    with sqlite_store.write() as connection:
        connection.execute(workers.update().values(alive=0))
    copy(sqlite_store, f"sqlite:///{tmp_path}/x.db")


def test_copy_that_fails_leaves_nothing(
    store: Database, elsewhere: Callable[[Database], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(store, 0, 2)
    url = elsewhere(store)

    def fail(*_: object) -> None:
        raise RuntimeError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("annoy_store.maintenance.copy.restart_ids", fail)
        with pytest.raises(RuntimeError):
            copy(store, url)
    target = connect(url)
    if target.path is not None:
        assert [p for p in target.path.parent.iterdir() if "moved" in p.name] == []
    target.close()
    copy(store, url)


def test_copy_detects_a_difference(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(sqlite_store, 0, 2)

    def careless(connection: object, table: object, rows: list[dict[str, object]]) -> None:
        if table is sources:
            rows = [{**row, "content": str(row["content"]).upper()} for row in rows]
        insert_new(connection, table, rows)  # type: ignore[arg-type]

    monkeypatch.setattr("annoy_store.maintenance.copy.insert_new", careless)
    with pytest.raises(StoreError, match="copy of sources differs"):
        copy(sqlite_store, f"sqlite:///{tmp_path}/x.db")
    assert not (tmp_path / "x.db").exists()


# Merges --------------------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path: Path) -> Database:
    return open_store(f"sqlite:///{tmp_path}/colleague.db", create=True)


def test_merge_makes_one_of_two_stores(store: Database, other: Database) -> None:
    grow(store, 0, 4, "ours")
    grow(other, 4, 3, "theirs")
    expected = lineage(store) + lineage(other)
    merged = merge(store, other, TOYS)
    assert merged.new["sources"] == 3
    assert merged.new["attempts"] == 9
    assert lineage(store) == expected
    assert check(store) == []
    progress = ToyWorker(store).run()
    assert progress.ended == {}  # nothing is done again
    other.close()


def test_merge_takes_the_pairs_of_a_question_once(store: Database, other: Database) -> None:
    def ask_about_two(start: int) -> list[NewRow]:
        made = factories.sample(f"# {start}\n")
        pairs = [factories.io_pair(made, {"x": start + i}, i, i) for i in range(2)]
        turn, _ = factories.asked(f"{start}?", "induce_function", str(start), sample_id=made)
        return [
            NewRow(turn_pairs, {"turn_id": turn, "io_pair_id": pair, "role": role})
            for pair, role in zip(pairs, ("shown", "held_out"), strict=True)
        ]

    for place, starts in ((store, (1,)), (other, (1, 5))):
        with place.write() as connection:
            for start in starts:
                insert_rows(connection, ask_about_two(start))
    merged = merge(store, other, TOYS)
    assert (merged.new["turn_pairs"], merged.known["turn_pairs"]) == (2, 2)
    assert +merge(store, other, TOYS).new == {}
    there, here = held(other), held(store)
    assert content_differences(there, here) == {}
    assert there["turn_pairs"].total() == 4
    other.close()


def test_merge_again_adds_nothing(store: Database, other: Database) -> None:
    grow(store, 0, 4, "ours")
    grow(other, 2, 4, "theirs")
    merge(store, other, TOYS)
    before = held(store)
    again = merge(store, other, TOYS)
    assert +again.new == {}
    assert content_differences(before, held(store)) == {}
    other.close()


def test_merge_keeps_another_answer_as_another_sample(store: Database, other: Database) -> None:
    grow(store, 0, 2, "ours")
    grow(other, 0, 2, "theirs")
    expected = lineage(store) + lineage(other)
    merged = merge(store, other, TOYS)
    assert merged.new["responses"] == 6
    assert (merged.new["prompts"], merged.known["prompts"]) == (0, 6)
    assert lineage(store) == expected
    with store.read() as connection:
        numbers = Counter(connection.scalars(select(calls.c.sample_no)))
        places_known = connection.scalars(select(origins.c.repo)).all()
    assert numbers == {0: 6, 1: 6}
    assert sorted(places_known) == ["ours", "theirs"]
    assert check(store) == []
    other.close()


def test_merge_recognises_the_same_answer(store: Database, other: Database) -> None:
    grow(store, 0, 2, "both")
    grow(other, 0, 3, "both")
    merged = merge(store, other, TOYS)
    assert (merged.new["responses"], merged.known["responses"]) == (3, 6)
    other.close()


def test_merge_ends_pending_jobs_that_are_done_there(store: Database, other: Database) -> None:
    add_sources(store, 2)
    ToyWorker(store, TOYS, [SPREAD]).run()
    grow(other, 0, 2)
    merge(store, other, TOYS)
    with store.read() as connection:
        assert set(connection.scalars(select(jobs.c.state))) == {"done"}
    assert check(store) == []
    assert ToyWorker(store).run().ended == {}
    other.close()


def test_merge_rejects_the_store_itself(sqlite_store: Database) -> None:
    with pytest.raises(UsageError, match="itself"):
        merge(sqlite_store, sqlite_store, TOYS)


@examples(st.lists(st.lists(st.sampled_from(["a", "b", None]), max_size=4), min_size=1, max_size=4))
def test_place_call_keeps_each_answer_once(stores: list[list[str | None]]) -> None:
    """Merging stores in any order keeps every answer as often as one store had it at most."""
    shelf: CallsByNumber = {}

    def merged_in(answers: list[str | None]) -> list[bool]:
        for slot in shelf.values():
            slot.matched = False
        return [
            place_call(shelf, number, (said,) if said else None)[1]
            for number, said in enumerate(answers)
        ]

    for answers in stores:
        merged_in(answers)
        assert not any(merged_in(answers))
    given_most: Counter[str] = Counter()
    for answers in stores:
        given_most |= Counter(said for said in answers if said)
    kept = Counter(slot.answer[0] for slot in shelf.values() if slot.answer)
    assert kept == given_most


# Backups -------------------------------------------------------------------------------------


def test_backup_is_consistent_while_a_worker_runs(sqlite_store: Database, tmp_path: Path) -> None:
    add_sources(sqlite_store, 60)
    thread = threading.Thread(target=lambda: ToyWorker(sqlite_store).run())
    thread.start()
    sizes = [backup(sqlite_store, tmp_path / f"{i}.db") for i in range(4)]
    thread.join()
    assert all(sizes)
    for i in range(4):
        saved = open_store(f"sqlite:///{tmp_path}/{i}.db")
        found = [f for f in check(saved) if f.what != "claimed by no active worker"]
        assert found == []
        saved.close()


def test_backup_is_a_working_store(sqlite_store: Database, tmp_path: Path) -> None:
    grow(sqlite_store, 0, 2)
    backup(sqlite_store, tmp_path / "b.db")
    saved = open_store(f"sqlite:///{tmp_path}/b.db")
    assert content_differences(held(sqlite_store), held(saved)) == {}
    grow(saved, 2, 1)
    assert check(saved) == []
    saved.close()


def test_backup_overwrites_only_with_replace(sqlite_store: Database, tmp_path: Path) -> None:
    backup(sqlite_store, tmp_path / "b.db")
    with pytest.raises(UsageError, match="--replace"):
        backup(sqlite_store, tmp_path / "b.db")
    backup(sqlite_store, tmp_path / "b.db", replace=True)
    with pytest.raises(StoreError, match="cannot write"):
        backup(sqlite_store, tmp_path / "no" / "b.db")
    assert not list(tmp_path.glob("*.partial"))


def test_backup_of_postgres_names_pg_dump(postgres_store: Database, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pg_dump"):
        backup(postgres_store, tmp_path / "b.db")
