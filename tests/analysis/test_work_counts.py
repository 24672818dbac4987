"""Present work is counted by stage, and open calls by kind and turn."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from annoy_store.analysis.work_counts import count_work
from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.variants import load_plan
from annoy_store.records.policy import load_policy
from annoy_store.stages import PIPELINE
from annoy_store.tasks.policy import changed_policy, set_policy
from tests.support import chains, factories

pytestmark = pytest.mark.slow_on("postgres")

POLICY = Policy()


def filled(store: Database, *names: str) -> None:
    chains.fill(store, names)
    with store.write() as connection:
        connection.execute(text("UPDATE variants SET description = '{}'"))


def test_count_work_counts_open_calls_by_kind(store: Database) -> None:
    filled(store, "ant")
    with store.write() as connection:
        first = text("SELECT id, sample_id FROM io_pairs ORDER BY id LIMIT 1")
        subject = dict(
            zip(("io_pair_id", "sample_id"), connection.execute(first).one(), strict=True)
        )
        rows = factories.asked("more?", kind="predict_input", about="more", **subject)
        factories.write_all(connection, [*rows, *factories.asked("transform me", about="t")])
        enqueue_all(connection, load_plan(connection, PIPELINE))
        factories.write_all(connection, factories.asked("later", about="later"))
    with store.read() as connection:
        now, waiting = count_work(connection, load_policy(connection))
    assert dict(waiting.calls) == {("predict_input", 1): 1, ("transform", 1): 2}
    assert (sum(now["complete"].open.values()), now["complete"].new) == (2, 1)


def test_count_work_counts_answers_and_revisions_by_turn(store: Database) -> None:
    """Of each animal one answer of a second turn is wrong; under two turns nothing is asked."""
    filled(store, "ant", "bee")
    with store.read() as connection:
        policy = load_policy(connection)
        now = count_work(connection, policy)[1]
        then = count_work(connection, changed_policy(policy, {"max_turns": "3"}))[1]
    assert (dict(now.calls), dict(now.revisions)) == ({}, {})
    assert now.answers == then.answers
    assert dict(now.answers) == {
        ("predict_output", 1): 4,
        ("predict_output", 2): 2,
        ("predict_input", 1): 2,
        ("predict_input", 2): 2,
    }
    assert dict(then.revisions) == {("predict_input", 2): 2}
    with store.write() as connection:
        set_policy(connection, {"max_turns": "3"})
        enqueue_all(connection, load_plan(connection, PIPELINE))
    with store.read() as connection:
        assert count_work(connection, load_policy(connection))[1] == then
