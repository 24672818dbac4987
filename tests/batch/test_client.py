"""Batches that end in every way, and runs that are killed at the worst moments.

The provider counts what was paid for; the store shows what was kept.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database, connect
from annoy_store.db.tables import jobs
from annoy_store.inference.spend import usage_since
from annoy_store.maintenance.check import check
from annoy_store.queue.jobs import IN_BATCH
from annoy_store.queue.requeue import requeue
from annoy_store.worker.run import run
from tests.batch.conftest import Killed, RunOnce, UntilDone, all_batches, attempt_counts
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider

pytestmark = pytest.mark.slow_on("postgres")

ENDS: list[dict[str, Any]] = [
    {"end": "completed", "errors": 0.05},
    {"end": "expired", "done": 0.6},
    {"end": "failed"},
    {"end": "cancelled", "done": 0.3},
]


@pytest.mark.slow
@pytest.mark.slow
def test_batches_answer_a_thousand_calls_through_every_end_and_two_kills(
    store: Database, provider: Provider, killed: Killed, until_done: UntilDone
) -> None:
    """Reserved and not uploaded, created and not recorded; then every end of a batch."""
    n = 1000
    plan_calls(store, n)
    provider.behave(batch_ends=[dict(end) for end in ENDS])
    killed(store, "before POST files")
    assert [b.state for b in all_batches(store)] == ["bound"]
    assert not provider.batches.by_id
    killed(store, "after POST batches")
    assert len(provider.batches.by_id) == 1
    assert [(b.state, b.remote_id) for b in all_batches(store)] == [("bound", None)]
    until_done(store, batch_lines=250)
    end, stats, seen = kept(store), provider.stats(), attempt_counts(store)
    refused = seen["failed", "http_400"]
    assert 0 < refused < 10
    assert (end["answers"], end["wrong"]) == (n - refused, [])
    assert end["jobs"] == {"done": n - refused, "failed": refused}
    assert stats["paid"] == n - refused
    assert stats["paid_twice"] == 0
    assert seen["ok", None] == n - refused
    assert seen["stopped", "batch_expired"] == 100
    assert seen["stopped", "batch_cancelled"] == 175
    assert provider.files.objects == {}  # all were deleted when they were imported
    assert {b.state for b in all_batches(store)} == {"ended"}
    assert check(store) == []
    with store.write() as connection:
        assert requeue(connection).total() == refused
    provider.behave(batch_ends=[])
    until_done(store)
    assert (kept(store)["answers"], kept(store)["wrong"]) == (n, [])


def test_batches_cost_half_the_price(
    store: Database, provider: Provider, until_done: UntilDone
) -> None:
    plan_calls(store, 20)
    until_done(store)
    prompt, completion = (provider.counts[f"{k}_tokens"] for k in ("prompt", "completion"))
    assert (prompt, completion) > (0, 0)
    half = (prompt * 1.0 + completion * 4.0) / 1e6 / 2
    with store.read() as connection:
        usage = usage_since(connection, 0)
        told = connection.scalar(text("SELECT SUM(cost_usd) FROM v_cost"))
    assert usage.cost_usd == pytest.approx(half)
    assert told == pytest.approx(half)


def test_batch_run_ends_and_says_what_waits(
    sqlite_store: Database, provider: Provider, run_once: RunOnce
) -> None:
    plan_calls(sqlite_store, 3)
    done = run_once(sqlite_store)
    assert done.progress.submitted_calls == 3
    (line,) = done.open_batches
    start = "3 calls wait in batch 1 (validating); import the results with: annoy run "
    assert line.startswith(start)
    assert f"--teacher batch --model sim --base-url {provider.url}" in line


def test_batch_calls_are_not_sent_online(
    store: Database, provider: Provider, run_once: RunOnce, until_done: UntilDone
) -> None:
    plan_calls(store, 10)
    run_once(store, limit=6)
    online = RunSettings(base_url=provider.url, model="sim")
    done = run(store, online, ["complete"])
    assert (done.by_stage(), len(done.open_batches)) == ({"complete": {"done": 4}}, 1)
    until_done(store)
    end = kept(store)
    assert (end["answers"], end["wrong"], end["jobs"]) == (10, [], {"done": 10})
    assert provider.stats()["paid_twice"] == 0


@pytest.mark.slow
def test_batch_clients_can_run_at_once(
    store: Database, provider: Provider, run_once: RunOnce
) -> None:
    """Each submits what it has reserved; each batch is imported once."""
    plan_calls(store, 300)
    url = store.url.render_as_string(hide_password=False)

    def another(_: int) -> None:
        mine = connect(url)
        for _ in range(12):
            if not run_once(mine, batch_lines=50).open_batches:
                break
        mine.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(another, range(3)))
    end = kept(store)
    assert (end["jobs"], end["wrong"]) == ({"done": 300}, [])
    assert attempt_counts(store) == {("ok", None): 300}
    assert provider.stats()["paid_twice"] == 0
    assert check(store) == []


def test_requeue_leaves_batch_calls_alone(store: Database, run_once: RunOnce) -> None:
    plan_calls(store, 4)
    run_once(store)
    with store.write() as connection:
        assert requeue(connection).total() == 0
        rows = connection.execute(jobs.select()).all()
    assert {(row.state, row.reason, row.due_at) for row in rows} == {("deferred", IN_BATCH, None)}
    assert check(store) == []
