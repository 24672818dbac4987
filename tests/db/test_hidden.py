"""What takedown rules hide is hidden by the transaction that writes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select

from annoy_store.db.engine import Database
from annoy_store.db.hidden import (
    hidden_ids,
    ids_under_rules,
    keep_hidden,
    known_purged,
    purged_digest_set,
    refresh_hidden,
)
from annoy_store.db.tables import hidden_subjects, purged_digests, sample_origins, watermarks
from annoy_store.ingest.takedowns import lift, take_down
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.variants import load_plan
from annoy_store.stages import PIPELINE
from tests.support import factories


def with_rule(store: Database, kind: str, value: str) -> None:
    with store.write() as connection:
        take_down(connection, kind, value, "asked")


def hidden(store: Database) -> dict[str, int]:
    """How many rows are hidden; it must be those that the rules say."""
    with store.read() as connection:
        found = hidden_ids(connection)
        assert found == ids_under_rules(connection)
        return {kind: len(ids) for kind, ids in found.items()}


def test_hidden_rows_are_written_as_such(store: Database) -> None:
    for kind, value in (("repo", "Team/Bad"), ("origin", "pairs.jsonl")):
        with_rule(store, kind, value)
    one, two = factories.source("1"), factories.source("2")
    of_both = factories.sample(problem="of both")
    rows: list[Any] = [factories.origin(one, "team/bad"), factories.origin(two, "team/good")]
    rows += [factories.new_origin(of_both, "1", source_id=one)]
    rows += [factories.new_origin(factories.sample(), "f", origin="Pairs.jsonl")]
    with store.write() as connection:
        factories.write_all(connection, rows)
    assert hidden(store) == {"source": 1, "sample": 2}
    with store.write() as connection:  # another origin of the sample is allowed
        factories.write_all(connection, [factories.new_origin(of_both, "2", source_id=two)])
    assert hidden(store) == {"source": 1, "sample": 1}
    with store.write() as connection:  # and of the source
        factories.write_all(connection, [factories.origin(one, "team/good", "other.py")])
    assert hidden(store) == {"source": 0, "sample": 1}


def test_hidden_rows_that_are_shown_again_are_scanned_again(store: Database) -> None:
    with_rule(store, "repo", "team/bad")
    source = factories.source("1")
    with store.write() as connection:
        factories.write_all(connection, [factories.origin(source, "team/bad")])
        assert enqueue_all(connection, load_plan(connection, PIPELINE))["transform"] == 0
        assert connection.scalar(select(func.count()).select_from(watermarks))
        factories.write_all(connection, [factories.origin(source, "team/good")])
        assert enqueue_all(connection, load_plan(connection, PIPELINE))["transform"] == 1


def test_purged_digests_hide_without_a_rule(store: Database) -> None:
    source, sample = factories.source("1"), factories.sample()
    digests = {"source": source.values["digest"], "sample": sample.values["digest"]}
    with store.write() as connection:
        rows = [{"kind": k, "digest": d, "purged_at": "now"} for k, d in digests.items()]
        connection.execute(insert(purged_digests), rows)
        factories.write_all(connection, [factories.origin(source), sample])
        assert known_purged(connection, "source", [digests["source"], "x"]) == {digests["source"]}
        assert purged_digest_set(connection, "sample", "text") == {
            "sample": {digests["sample"]},
            "text": frozenset(),
        }
    assert hidden(store) == {"source": 1, "sample": 1}


def test_refresh_hidden_repairs_and_reports(store: Database) -> None:
    with_rule(store, "repo", "bad")
    with store.write() as connection:
        factories.write_all(connection, [factories.origin(factories.source("1"), "bad")])
        connection.execute(delete(hidden_subjects))
        connection.execute(insert(hidden_subjects).values(kind="sample", subject_id=7))
        change = refresh_hidden(connection)
        assert (len(change.sources), len(change.samples), change.shown) == (1, 0, 1)
        lift(connection, "repo", "bad")
        assert hidden_ids(connection) == {"source": set(), "sample": set()}


def test_a_rule_and_a_row_that_are_written_at_once_see_each_other(
    postgres_store: Database,
) -> None:
    """Whichever commits first, the row is hidden."""
    with ThreadPoolExecutor() as threads:
        with postgres_store.write() as connection:
            rows = [factories.origin(factories.source("1"), "bad")]
            factories.write_all(connection, rows)
            second = threads.submit(with_rule, postgres_store, "repo", "bad")
            assert wait([second], timeout=0.2).not_done
        second.result(timeout=30)
        assert hidden(postgres_store) == {"source": 1, "sample": 0}

        def write(content: str) -> None:
            with postgres_store.write() as connection:
                factories.write_all(
                    connection, [factories.origin(factories.source(content), "worse")]
                )

        with postgres_store.write() as connection:
            take_down(connection, "repo", "worse", "asked")
            second = threads.submit(write, "2")
            assert wait([second], timeout=0.2).not_done
        second.result(timeout=30)
    assert hidden(postgres_store) == {"source": 2, "sample": 0}


@pytest.mark.parametrize("spelled", ["Équipe/X", "équipe/x"])
def test_a_rule_names_a_value_as_spelled(store: Database, spelled: str) -> None:
    with_rule(store, "repo", spelled)
    with store.write() as connection:
        factories.write_all(connection, [factories.origin(factories.source("1"), spelled)])
    assert hidden(store)["source"] == 1


def test_keep_hidden_ignores_other_tables(store: Database) -> None:
    with_rule(store, "repo", "bad")
    with store.write() as connection:
        keep_hidden(connection, {"prompts": [1], sample_origins.name: []})
    assert hidden(store) == {"source": 0, "sample": 0}
