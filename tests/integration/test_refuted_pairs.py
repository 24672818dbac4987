"""Pending calls about a pair that a later check refuted are not asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import jobs, turn_pairs
from annoy_store.interfaces import NewRow
from annoy_store.queue.requeue import requeue
from annoy_store.worker.run import run
from tests.support.chains import check_again, checked, pairs_of, sampled
from tests.support.factories import asked
from tests.support.provider import Provider

FIRST, SECOND, THIRD = ('{"n":1}', '{"n":2}', '{"n":3}')  # versions of `generate`


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().serving() as running:
        yield running


def plan_calls(store: Database) -> None:
    """Calls about a pair of `ant`, one of `bee`, several pairs of `bee`, and a source."""
    with store.write() as connection:
        insert_rows(connection, asked("source", source_id=None))
        for name in ("ant", "bee"):
            pairs = pairs_of(rows := sampled(name))
            insert_rows(connection, rows)
            insert_rows(connection, [checked(connection, pair, version=FIRST) for pair in pairs])
            insert_rows(connection, asked(name, "predict_output", name, io_pair_id=pairs[0]))
        several = asked("several", "predict_output", "b", sample_id=pairs[0].values["sample_id"])
        turn = next(row for row in several if row.table.name == "turns")
        roles = [{"turn_id": turn, "io_pair_id": pair, "role": "shown"} for pair in pairs]
        insert_rows(connection, [*several, *(NewRow(turn_pairs, values) for values in roles)])


def complete(store: Database, provider: Provider) -> list[tuple[str, str | None]]:
    run(store, RunSettings(base_url=provider.url, model="sim"), ["complete"])
    with store.read() as connection:
        chosen = select(jobs.c.state, jobs.c.reason).where(jobs.c.stage == "complete")
        return [tuple(row) for row in connection.execute(chosen.order_by(jobs.c.subject_id))]


@pytest.mark.parametrize("status", ["unstable", "wrong_output", "exception"])
def test_calls_about_a_refuted_pair_are_not_asked(
    store: Database, provider: Provider, status: str
) -> None:
    plan_calls(store)
    check_again(store, status, SECOND, "%bee%")
    done, refuted = ("done", None), ("rejected", "pair_unstable")
    assert complete(store, provider) == [done, done, refuted, refuted]
    assert provider.counts["requests"] == 2
    check_again(store, "stable", THIRD, "%bee%")
    with store.write() as connection:
        requeue(connection, "complete", ("rejected",), "pair_unstable")
    assert complete(store, provider) == [done] * 4
    assert provider.counts["requests"] == 4


def test_calls_about_a_pair_that_lacks_a_module_here_are_asked(
    sqlite_store: Database, provider: Provider
) -> None:
    """What a machine lacks says nothing about the pair."""
    plan_calls(sqlite_store)
    check_again(sqlite_store, "missing_module", SECOND)
    assert complete(sqlite_store, provider) == [("done", None)] * 4
