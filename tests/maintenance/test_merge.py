"""Merges add what is new, by content."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from annoy_store.db.engine import Database
from annoy_store.db.hidden import hidden_ids, ids_under_rules
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import (
    attempts,
    batch_items,
    batches,
    calls,
    jobs,
    origins,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    turn_pairs,
    turns,
)
from annoy_store.errors import UsageError
from annoy_store.ingest.codeio.importer import import_files
from annoy_store.ingest.sources import IngestOptions, ingest
from annoy_store.ingest.takedowns import lift, take_down, takedown_rules
from annoy_store.interfaces import NewRow
from annoy_store.maintenance.check import check, recount
from annoy_store.maintenance.digests import fill_missing_digests
from annoy_store.maintenance.fingerprint import content_differences
from annoy_store.maintenance.merge import merge
from annoy_store.maintenance.purge import purge
from annoy_store.stages import PIPELINE
from tests.support import chains, factories
from tests.support.codeio_rows import RAW, function, lines, transformed
from tests.support.factories import DOUBLE
from tests.support.growing_stores import grow, held
from tests.support.shown_steps import ShownSteps
from tests.support.small_pipeline import (
    SPREAD,
    TOYS,
    ToyWorker,
    add_sources,
)

pytestmark = pytest.mark.slow_on("postgres")


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


def test_merge_there_and_back_keeps_attempts_and_tokens(store: Database, other: Database) -> None:
    """Attempts have an identity of their content, whatever worker they are of."""

    def paid(of: Database) -> tuple[int, int]:
        chosen = select(func.count(), func.sum(attempts.c.completion_tokens))
        with of.read() as connection:
            return tuple(map(int, connection.execute(chosen).one()))  # type: ignore[return-value]

    grow(store, 0, 2, "ours")
    grow(other, 1, 2, "theirs")
    with store.write() as connection:
        connection.execute(update(attempts).values(completion_tokens=1, digest=None))
    with other.write() as connection:
        connection.execute(update(attempts).values(completion_tokens=1, digest=None))
    for into, of in ((store, other), (other, store), (store, other), (other, store)):
        merge(into, of, TOYS)
        assert paid(store) == (12, 12)
    assert paid(other) == (12, 12)
    for each in (store, other):
        fill_missing_digests(each)
        assert check(each) == []
    other.close()


def test_merge_tells_what_two_stores_paid_for(store: Database, other: Database) -> None:
    grow(store, 0, 1, "both")
    grow(other, 0, 1, "both")
    with other.write() as connection:
        connection.execute(update(attempts).values(latency_ms=2.5, digest=None))
    fill_missing_digests(other)
    merged = merge(store, other, TOYS)
    assert (merged.new["responses"], merged.new["attempts"], merged.paid_twice) == (0, 3, 3)
    assert check(store) == []
    with store.write() as connection:  # but two attempts of this store would be damage
        connection.execute(update(attempts).values(worker_id=1))
    assert [f.what for f in check(store)] == ["calls with more than one successful attempt"]
    other.close()


def test_merge_leaves_a_call_to_the_batch_that_answers_it(store: Database, other: Database) -> None:
    grow(other, 0, 1, "theirs")
    add_sources(store, 1)
    ToyWorker(store, TOYS, [SPREAD]).run()
    with store.write() as connection:
        row = {"name": "b", "teacher_id": 0, "state": "sent", "created_at": "now"}
        connection.execute(insert(batches).values(row))
        connection.execute(insert(batch_items).values(batch_id=1, call_id=1, is_open=1))
        deferred = update(jobs).where(jobs.c.stage == "answer", jobs.c.subject_id == 1)
        connection.execute(deferred.values(state="deferred", reason="in_batch"))
        recount(connection)
    for _ in range(2):
        merge(store, other, TOYS)
        with store.read() as connection:
            answered = select(responses.c.call_id, calls.c.sample_no).join(calls)
            found = connection.execute(answered.order_by(responses.c.call_id)).all()
            state = connection.scalar(
                select(jobs.c.state).where(jobs.c.stage == "answer", jobs.c.subject_id == 1)
            )
        assert [tuple(row) for row in found] == [(2, 0), (3, 0), (4, 1)]
        assert state == "deferred"
    other.close()


@pytest.mark.parametrize("purging", [False, True])
def test_merge_brings_no_taken_down_row_back(
    store: Database, other: Database, purging: bool
) -> None:
    chains.fill(other, ("zebra", "bee"))
    merge(store, other, TOYS)
    with store.write() as connection:
        take_down(connection, "repo", "team/zebra", "asked")
    if purging:
        purge(store, 1)
    chains.fill(other, ("cow",), repo="team/zebra")
    with other.write() as connection:  # a question about what was purged, which this store lacks
        sample_id = select(samples.c.id).where(samples.c.problem_statement.contains("zebra"))
        turn, call = factories.asked("zebra?", "predict_output", "more", sample_id=1)
        turn.values["sample_id"] = connection.scalar(sample_id)
        insert_rows(connection, [turn, factories.response(call, "of zebra")])
    for _ in range(2):
        merge(store, other, TOYS)
        assert check(store) == []
        with store.read() as connection:
            hidden = hidden_ids(connection)
            texts = [*connection.scalars(select(prompts.c.messages)), *_texts(connection)]
        assert [len(ids) for ids in hidden.values()] == [2, 2]
        assert any("zebra" in text for text in texts) is not purging
    merge(other, store, TOYS)  # the rules travel
    with other.read() as connection:
        assert [len(ids) for ids in hidden_ids(connection).values()] == [2, 2]
        assert any("zebra" in text for text in _texts(connection)) is not purging
    assert check(other) == []
    other.close()


def _texts(connection: Connection) -> list[str]:
    columns = (sources.c.content, samples.c.refcode, responses.c.text)
    return [text for column in columns for text in connection.scalars(select(column))]


def test_merge_hides_from_the_first_page_on(
    store: Database, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever transaction is the last one, nothing that a rule names is visible."""
    chains.fill(other, ("zebra", "bee"))
    with other.write() as connection:
        take_down(connection, "repo", "team/zebra", "asked")
    committed = 0
    transact = Database.transact

    def stop_after(self: Database, work: Any, *rest: Any) -> Any:
        nonlocal committed
        result = transact(self, work, *rest)
        committed += 1
        with self.read() as connection:
            hidden = hidden_ids(connection)
            assert hidden == ids_under_rules(connection)
            named = select(sources.c.id).where(sources.c.content.contains("zebra"))
            assert set(connection.scalars(named)) <= hidden["source"]
            made = select(samples.c.id).where(samples.c.refcode.contains("zebra"))
            assert set(connection.scalars(made)) <= hidden["sample"]
        return result

    monkeypatch.setattr(Database, "transact", stop_after)
    merge(store, other, TOYS)
    assert committed > 10
    other.close()


def test_merge_joins_the_states_of_a_rule(store: Database, other: Database) -> None:
    with other.write() as connection:
        for repo in ("a", "b", "c"):
            insert_rows(connection, [factories.origin(factories.source(repo), repo)])
            take_down(connection, "repo", repo, "asked")
    merge(store, other, TOYS)
    with store.write() as connection:
        lift(connection, "repo", "a")
        lift(connection, "repo", "b")
    with other.write() as connection:
        lift(connection, "repo", "a")
    purge(other, 3)

    def states(of: Database) -> dict[str, tuple[bool, bool]]:
        with of.read() as connection:
            rules = takedown_rules(connection)
        return {r.value: (r.lifted_at is None, r.purged_at is not None) for r in rules}

    merge(store, other, TOYS)
    merge(other, store, TOYS)
    expected = {"a": (False, False), "b": (True, False), "c": (True, True)}
    assert states(store) == states(other) == expected
    other.close()


@pytest.mark.parametrize("purging", [True, False])
@pytest.mark.parametrize("functions_here", [True, False])
def test_merge_links_functions_of_one_store_to_sources_of_the_other(
    store: Database, other: Database, tmp_path: Path, functions_here: bool, purging: bool
) -> None:
    """So that the takedown of a source hides the function, and nothing is transformed again."""
    lines(tmp_path / "functions.jsonl", [function(meta={"blob_id": "b1"})])
    lines(tmp_path / "raw.jsonl", [{"content": RAW, "repo": "bad", "blob_id": "b1"}])
    with_functions, with_sources = (store, other) if functions_here else (other, store)
    import_files(with_functions, [tmp_path / "functions.jsonl"])
    ingest(with_sources, [tmp_path / "raw.jsonl"], IngestOptions())
    with with_sources.write() as connection:
        take_down(connection, "repo", "bad", "asked")
    if purging:
        purge(with_sources, 1)
    for into, of in ((store, other), (other, store)):
        merge(into, of, PIPELINE)
        with into.read() as connection:
            assert [len(ids) for ids in hidden_ids(connection).values()] == [1, 1]
        assert check(into) == []
    assert content_differences(held(store), held(other)) == {}
    assert +merge(store, other, PIPELINE).new == {}
    other.close()


def test_merge_links_functions_to_answers_of_the_other_store(
    store: Database, other: Database, tmp_path: Path
) -> None:
    import_files(store, [lines(tmp_path / "f.jsonl", [function(code=DOUBLE.strip())])])
    import_files(other, [lines(tmp_path / "t.jsonl", [transformed()])])
    with other.write() as connection:
        take_down(connection, "origin", "t.jsonl", "asked")  # where its source was found
    for into, of in ((store, other), (other, store)):
        merge(into, of, PIPELINE)
        with into.read() as connection:
            assert [len(ids) for ids in hidden_ids(connection).values()] == [1, 1]
    other.close()


def test_merge_shows_the_rows_read(store: Database, other: Database) -> None:
    grow(other, 0, 2)
    shown = ShownSteps()
    merge(store, other, PIPELINE, shown)
    assert shown.steps[-1][0].startswith("merging jobs: ")
    assert shown.shares == sorted(shown.shares)
    assert shown.shares[-1] == 1
