"""Merges add what is new, by content."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import (
    calls,
    jobs,
    origins,
    responses,
    sample_origins,
    samples,
    sources,
    turn_pairs,
    turns,
)
from annoy_store.errors import UsageError
from annoy_store.interfaces import NewRow
from annoy_store.maintenance.check import check
from annoy_store.maintenance.fingerprint import content_differences
from annoy_store.maintenance.merge import merge
from tests.support import factories
from tests.support.growing_stores import grow, held
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
