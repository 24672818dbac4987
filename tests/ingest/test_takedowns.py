"""Takedowns: rows without an allowed origin are hidden, in any order of rules, ingests, lifts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st
from sqlalchemy import insert, select, text

from annoy_store.db.engine import Database
from annoy_store.db.hidden import hidden_ids, refresh_hidden
from annoy_store.db.tables import (
    export_rows,
    exports,
    jobs,
    sources,
    takedowns,
)
from annoy_store.errors import UsageError
from annoy_store.ingest.sources import IngestOptions, ingest
from annoy_store.ingest.takedowns import (
    affected_exports,
    lift,
    requeue_hidden,
    resolve_value,
    take_down,
)
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.variants import load_plan
from annoy_store.stages import PIPELINE
from tests.support import chains, factories
from tests.support.takedown_stores import sources_in_two_repositories

pytestmark = pytest.mark.slow_on("postgres")


def test_takedown_spares_a_source_with_an_allowed_origin(store: Database) -> None:
    sources_in_two_repositories(store)
    with store.write() as connection:
        change = take_down(connection, "repo", "team/blue", "asked")
        assert (change.sources, change.samples, change.shown) == (1, 1, 0)
        assert [len(v) for v in hidden_ids(connection).values()] == [1, 1]
        change = take_down(connection, "licence", "mit", "policy")
        assert (change.sources, change.samples) == (1, 1)
        assert [len(v) for v in hidden_ids(connection).values()] == [2, 2]
        assert lift(connection, "licence", "MIT").shown == 2
        assert lift(connection, "repo", "TEAM/blue").shown == 2
        assert hidden_ids(connection) == {"source": set(), "sample": set()}


def test_takedown_hides_a_sample_when_both_sources_are_hidden(store: Database) -> None:
    with store.write() as connection:
        one, two, shared = factories.source("one"), factories.source("two"), factories.sample()
        rows = [
            factories.new_origin(shared, name, source_id=of)
            for name, of in (("1", one), ("2", two))
        ]
        factories.write_all(connection, rows)
        for source, samples_hidden in (("one", 0), ("two", 1)):
            digest = next(s for s in (one, two) if s.values["content"] == source).values["digest"]
            assert take_down(connection, "source", digest, "why").samples == samples_hidden


def test_takedown_of_a_file_hides_its_imported_samples(store: Database) -> None:
    with store.write() as connection:
        factories.write_all(
            connection, [factories.new_origin(factories.sample(), "f", origin="pairs.jsonl")]
        )
        assert resolve_value(connection, "origin", "pairs.jsonl") == "pairs.jsonl"
        assert take_down(connection, "origin", "pairs.jsonl", "why").samples == 1


def test_takedown_applies_to_rows_ingested_later(store: Database) -> None:
    sources_in_two_repositories(store)
    with store.write() as connection:
        take_down(connection, "repo", "team/blue", "asked")
        factories.write_all(connection, [factories.origin(factories.source("three"), "Team/Blue")])
        assert [len(v) for v in hidden_ids(connection).values()] == [2, 1]
        factories.write_all(connection, [factories.origin(factories.source("two"), "team/red")])
        assert [len(v) for v in hidden_ids(connection).values()] == [1, 0]


def test_ingest_hides_in_the_transaction_that_writes(store: Database, tmp_path: Path) -> None:
    ids = sources_in_two_repositories(store)
    with store.write() as connection:
        take_down(connection, "repo", "team/blue", "asked")
    line = '{{"content": "{}", "repo": "{}"}}\n'
    (tmp_path / "x.jsonl").write_text(
        line.format("four", "team/blue")
        + line.format("five", "team/red")
        + line.format("two", "team/red")
    )
    ingest(store, [tmp_path / "x.jsonl"], IngestOptions())
    with store.read() as connection:
        found = dict(map(tuple, connection.execute(select(sources.c.content, sources.c.id))))
        assert hidden_ids(connection) == {"source": {found["four"]}, "sample": set()}
        assert found["two"] == ids["two"]


def test_resolve_value_accepts_only_known_values(store: Database) -> None:
    sources_in_two_repositories(store)
    with store.write() as connection:
        digest = connection.scalar(select(sources.c.digest).where(sources.c.id == 1))
        assert (
            resolve_value(connection, "source", "1")
            == resolve_value(connection, "source", digest)
            == digest
        )
        for kind, value in (
            ("source", "99"),
            ("repo", "team/green"),
            ("sample", "zz"),
            ("licence", "bsd"),
            ("origin", "nowhere"),
        ):
            with pytest.raises(UsageError):
                resolve_value(connection, kind, value)
        take_down(connection, "source", digest, "why")
        with pytest.raises(UsageError, match="already"):
            take_down(connection, "source", digest, "why")
        with pytest.raises(UsageError, match="not taken down"):
            lift(connection, "repo", "team/red")


def test_lift_requeues_the_jobs(store: Database) -> None:
    """Both jobs that were rejected meanwhile, and rows that never got a job."""
    with store.write() as connection:
        factories.write_all(connection, [factories.origin(factories.source("a"), "team/x")])
        enqueue_all(connection, load_plan(connection, PIPELINE))
        take_down(connection, "repo", "team/x", "asked")
        factories.write_all(connection, [factories.origin(factories.source("b"), "team/x")])
        enqueue_all(connection, load_plan(connection, PIPELINE))
        connection.execute(text("UPDATE jobs SET state = 'rejected', reason = 'not_wanted'"))
        connection.execute(text("UPDATE job_counters SET state = 'rejected'"))
        lift(connection, "repo", "team/x")
        assert requeue_hidden(connection, PIPELINE) == 1
        assert enqueue_all(connection, load_plan(connection, PIPELINE))["transform"] == 1
        states = connection.execute(
            select(jobs.c.subject_id, jobs.c.state).order_by(jobs.c.subject_id)
        )
        assert [tuple(row) for row in states] == [(1, "pending"), (2, "pending")]


def test_affected_exports_are_reported(store: Database) -> None:
    chains.fill(store, ("ant", "bee"))
    with store.write() as connection:
        rows = connection.execute(text("SELECT chain_id, sample_id FROM v_chains ORDER BY 1")).all()
        for key in (1, 2):
            values = {
                "id": key,
                "digest": f"d{key}",
                "format": "codeio",
                "filter": "{}",
                "n_rows": 1,
                "n_retractions": 0,
                "folder": f"out{key}",
                "files": "[]",
                "seen": "{}",
                "created_at": "x",
            }
            connection.execute(insert(exports).values(values))
        for position, (chain, sample) in enumerate(rows):
            line = {"position": position, "chain_id": chain, "digest": str(chain)}
            both = {"export_id": 1, "sample_id": sample}
            connection.execute(insert(export_rows).values(line | both))
            if sample == rows[0][1]:
                connection.execute(insert(export_rows).values(line | {"export_id": 2}))
        change = take_down(connection, "repo", "team/ant", "asked")
        ants = sum(sample in hidden_ids(connection)["sample"] for _, sample in rows)
        assert {(e.export_id, e.rows) for e in change.exports} >= {(1, ants)}
        assert [h.export_id for h in affected_exports(connection)] == sorted(
            (h.export_id for h in affected_exports(connection)), reverse=True
        )
        lift(connection, "repo", "team/ant")
        assert affected_exports(connection) == []


RULES = st.tuples(
    st.sampled_from(["repo", "licence", "source"]), st.sampled_from(["red", "blue", "0", "1", "2"])
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@hypothesis_given(
    homes=st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from(["red", "blue"]), st.sampled_from(["red", "blue"])
        ),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    taken=st.lists(RULES, max_size=4, unique=True),
)
def test_hidden_rows_match_the_definition(
    sqlite_store: Database, homes: list[Any], taken: list[Any]
) -> None:
    with sqlite_store.write_engine.connect() as connection:
        transaction = connection.begin()
        found = {n: factories.source(f"x{n}") for n in range(3)}
        rows = [factories.origin(found[n], repo, f"{n}.py", licence) for n, repo, licence in homes]
        rows += [
            factories.new_origin(factories.sample(problem=str(n)), str(n), source_id=s)
            for n, s in found.items()
        ]
        factories.write_all(connection, [*found.values(), *rows])
        for kind, value in taken:
            named_by = found[int(value)].values["digest"] if value.isdecimal() else value
            row = {"kind": kind, "value": named_by, "why": "x", "created_at": "x"}
            row |= {"digest": f"{kind} {named_by}"}
            connection.execute(insert(takedowns).values(row))
        refresh_hidden(connection)
        ids = dict(connection.execute(select(sources.c.content, sources.c.id)).all())
        expected = {ids[f"x{n}"] for n in found if _gone(n, homes, taken)}
        assert hidden_ids(connection)["source"] == expected
        assert len(hidden_ids(connection)["sample"]) == len(expected)
        transaction.rollback()


def _gone(n: int, homes: list[Any], taken: list[Any]) -> bool:
    mine = [(repo, licence) for m, repo, licence in homes if m == n]
    left = [h for h in mine if ("repo", h[0]) not in taken and ("licence", h[1]) not in taken]
    return ("source", str(n)) in taken or (bool(mine) and not left)
