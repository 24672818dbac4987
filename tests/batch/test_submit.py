"""Batches that are reserved, uploaded and created, each step recorded before the next."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update

from annoy_store.batch import reserve
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import workers
from annoy_store.errors import LeaseLost
from annoy_store.inference.client.batch_api import BatchApi, ProviderBatch
from annoy_store.prompts.template import load_template
from annoy_store.records.prompts import prompt_rows
from tests.batch.conftest import Killed, RunOnce, UntilDone, all_batches, attempt_counts
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider

pytestmark = pytest.mark.slow_on("postgres")


def test_batch_file_holds_the_planned_prompts(
    sqlite_store: Database, provider: Provider, run_once: RunOnce
) -> None:
    plan_calls(sqlite_store, 2)
    run_once(sqlite_store)
    (content,) = provider.files.contents.values()
    asked = [json.loads(line) for line in content.splitlines()]
    assert [line["method"] + line["url"] for line in asked] == ["POST/v1/chat/completions"] * 2
    assert {line["body"]["model"] for line in asked} == {"sim"}
    assert len({line["body"]["seed"] for line in asked}) == 2
    assert [line["body"]["messages"][0]["content"][:2] for line in asked] == ["0:", "1:"]
    (batch,) = provider.batches.by_id.values()
    assert batch.metadata == {"annoy_batch": asked[0]["custom_id"].split("-")[0]}


def test_batch_file_has_limits_and_one_model(
    store: Database,
    provider: Provider,
    run_once: RunOnce,
    until_done: UntilDone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan_calls(store, 12)
    with store.write() as connection:
        messages = [{"role": "user", "content": "what comes out"}]
        insert_rows(
            connection, prompt_rows(messages, load_template("transform"), "predict_output", 1, "x")
        )
    monkeypatch.setattr(reserve, "MAX_BYTES", 1_400)
    run_once(store, transform_model="other")
    sizes = [len(content) for content in provider.files.contents.values()]
    models = [
        {json.loads(line)["body"]["model"] for line in content.splitlines()}
        for content in provider.files.contents.values()
    ]
    assert max(sizes) <= 1_400
    assert len(sizes) == 3
    assert sorted(map(len, models)) == [1] * len(sizes)
    assert {"sim"} in models
    until_done(store, transform_model="other")
    assert (kept(store)["jobs"], provider.stats()["paid_twice"]) == ({"done": 13}, 0)


@pytest.mark.slow
def test_batch_upload_with_a_lost_response_is_repeated(
    sqlite_store: Database, provider: Provider, killed: Killed, until_done: UntilDone
) -> None:
    plan_calls(sqlite_store, 5)
    killed(sqlite_store, "after POST files")
    assert len(provider.files.objects) == 1
    until_done(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"done": 5}
    assert (provider.files.objects, provider.stats()["paid_twice"]) == ({}, 0)
    assert len(provider.batches.by_id) == 1


def test_batch_of_a_stale_worker_is_cancelled(
    store: Database,
    provider: Provider,
    run_once: RunOnce,
    until_done: UntilDone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run pauses between upload and create, and another submits the batch meanwhile."""
    plan_calls(store, 8)
    create = BatchApi.create
    monkeypatch.setattr(BatchApi, "delete_file", lambda *_: None)

    def late(api: BatchApi, file_id: str, name: str) -> ProviderBatch:
        monkeypatch.setattr(BatchApi, "create", create)
        with store.write() as connection:
            connection.execute(update(workers).values(alive=0))
        run_once(store)
        return create(api, file_id, name)

    monkeypatch.setattr(BatchApi, "create", late)
    with pytest.raises(LeaseLost):
        run_once(store)
    assert [b.status for b in provider.batches.by_id.values()] == ["validating", "cancelling"]
    until_done(store)
    assert kept(store)["jobs"] == {"done": 8}
    assert provider.stats()["paid_twice"] == 0


@pytest.mark.slow
def test_batches_that_are_too_large_become_smaller(
    store: Database, provider: Provider, until_done: UntilDone
) -> None:
    plan_calls(store, 40)
    provider.behave(enqueued_limit=12)
    until_done(store)
    assert kept(store)["jobs"] == {"done": 40}
    assert attempt_counts(store) == {("ok", None): 40}
    answered = [b.n_calls for b in all_batches(store) if b.n_answered]
    assert max(answered) == 10
    assert provider.stats()["paid_twice"] == 0


def test_batch_over_the_queue_limit_waits_for_the_others(
    store: Database, provider: Provider, run_once: RunOnce, until_done: UntilDone
) -> None:
    """It counts as no try, and nothing else is submitted meanwhile."""
    plan_calls(store, 30)
    provider.behave(enqueued_limit=20)
    run_once(store, batch_lines=10, poll_seconds=30)
    for _ in range(2):
        done = run_once(store, batch_lines=10, poll_seconds=30)
    states = sorted((b.state, b.refusals) for b in all_batches(store))
    assert states == [("bound", 1), ("sent", 0), ("sent", 0)]
    assert "waits" in "".join(done.batch_errors) or done.open_batches
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET due_at = 0 WHERE state = 'bound'")
    until_done(store, batch_lines=10)
    assert (kept(store)["jobs"], attempt_counts(store)) == ({"done": 30}, {("ok", None): 30})
    assert provider.stats()["paid_twice"] == 0
