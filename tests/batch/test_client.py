"""Batches that end in every way, and runs that are killed at the worst moments.

The provider counts what was paid for; the store shows what was kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from annoy_store.batch import jsonl, poll, reserve
from annoy_store.batch.results import import_results_page
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database, connect
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import batches, jobs, workers
from annoy_store.errors import EndpointUnavailable, LeaseLost
from annoy_store.inference.client.batch_api import BatchApi, ProviderBatch
from annoy_store.inference.spend import usage_since
from annoy_store.maintenance.check import check
from annoy_store.prompts.template import load_template
from annoy_store.queue.jobs import IN_BATCH
from annoy_store.queue.requeue import requeue
from annoy_store.records.prompts import prompt_rows
from annoy_store.worker.run import run
from tests.batch.conftest import RunOnce, all_batches, attempt_counts
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider

ROOT = Path(__file__).parent.parent.parent
ENDS: list[dict[str, Any]] = [
    {"end": "completed", "errors": 0.05},
    {"end": "expired", "done": 0.6},
    {"end": "failed"},
    {"end": "cancelled", "done": 0.3},
]
Killed = Callable[..., None]


@pytest.fixture
def killed(provider: Provider) -> Iterator[Killed]:
    """Return a function that kills (-9) a batch run when the provider stalls at a step."""
    started: list[subprocess.Popen[str]] = []

    def at(store: Database, step: str, *options: str, key: str = "") -> None:
        url = store.url.render_as_string(hide_password=False)
        command = [sys.executable, "-m", "annoy_store", "--store", url, "run", "complete"]
        command += ["--teacher", "batch", "--base-url", provider.url, "--model", "sim", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ANNOY_BATCH_LINES": "250"}
        if key:
            environment |= {"OPENAI_API_KEY": key}
        before = provider.counts["stalled"]
        provider.behave(stall=step)
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        until = time.monotonic() + 60
        while provider.counts["stalled"] == before:
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < until
            time.sleep(0.01)
        process.kill()
        process.wait()
        provider.behave(stall=None)

    yield at
    for process in started:
        process.kill()
        process.communicate()


def test_batches_answer_a_thousand_calls_through_every_end_and_two_kills(
    store: Database, provider: Provider, killed: Killed, until_done: Callable[..., int]
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
    store: Database, provider: Provider, until_done: Callable[..., int]
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
    store: Database, provider: Provider, run_once: RunOnce, until_done: Callable[..., int]
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


def test_batch_upload_with_a_lost_response_is_repeated(
    sqlite_store: Database, provider: Provider, killed: Killed, until_done: Callable[..., int]
) -> None:
    plan_calls(sqlite_store, 5)
    killed(sqlite_store, "after POST files")
    assert len(provider.files.objects) == 1
    until_done(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"done": 5}
    assert (provider.files.objects, provider.stats()["paid_twice"]) == ({}, 0)
    assert len(provider.batches.by_id) == 1


def test_batch_files_are_deleted_after_a_kill(
    store: Database,
    provider: Provider,
    run_once: RunOnce,
    killed: Killed,
    until_done: Callable[..., int],
) -> None:
    """All lines were imported, the files are still there: nothing is imported again."""
    plan_calls(store, 60)
    provider.behave(batch_ends=[{"end": "completed", "errors": 0.2, "polls": 0}])
    run_once(store)
    killed(store, "before DELETE files")
    assert (kept(store)["answers"], len(provider.files.objects)) == (48, 3)
    until_done(store)
    end = kept(store)
    assert end["answers"] + attempt_counts(store)["failed", "http_400"] == 60
    assert (end["wrong"], provider.stats()["paid_twice"], provider.files.objects) == ([], 0, {})
    assert check(store) == []


def test_batch_import_continues_after_an_interruption(
    store: Database,
    provider: Provider,
    run_once: RunOnce,
    until_done: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was imported stays, and is not imported again."""
    plan_calls(store, 60)
    provider.behave(batch_ends=[{"end": "completed", "errors": 0.2, "polls": 0}])
    run_once(store)
    monkeypatch.setattr(jsonl, "_PAGE", 10)
    pages = []

    def dying(*given: Any) -> Any:
        pages.append(given)
        if len(pages) == 3:
            raise SystemExit
        return import_results_page(*given)

    monkeypatch.setattr(poll, "import_results_page", dying)
    with pytest.raises(SystemExit):
        run_once(store)
    assert kept(store)["answers"] == 20
    monkeypatch.setattr(poll, "import_results_page", import_results_page)
    until_done(store)
    end = kept(store)
    assert end["answers"] + attempt_counts(store)["failed", "http_400"] == 60
    assert attempt_counts(store)["ok", None] == end["answers"]
    assert (end["wrong"], provider.stats()["paid_twice"]) == ([], 0)


def test_batch_of_a_stale_worker_is_cancelled(
    store: Database,
    provider: Provider,
    run_once: RunOnce,
    until_done: Callable[..., int],
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


def test_batch_file_has_limits_and_one_model(
    store: Database,
    provider: Provider,
    run_once: RunOnce,
    until_done: Callable[..., int],
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


def test_batch_keeps_and_shows_no_key(
    store: Database, provider: Provider, run_once: RunOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("OTHER_API_KEY", "sk-not-the-right-one")
    provider.behave(key=key)
    plan_calls(store, 2)
    with pytest.raises(EndpointUnavailable) as rejected:
        run_once(store, api_key_env="OTHER_API_KEY")
    assert "rejects the key in OTHER_API_KEY" in str(rejected.value)
    monkeypatch.setenv("OTHER_API_KEY", key)
    run_once(store, api_key_env="OTHER_API_KEY")
    with store.read() as connection:
        everything = str(
            [connection.execute(t.select()).all() for t in batches.metadata.sorted_tables]
        )
    assert key not in everything
    assert "sk-" not in everything + str(rejected.value)


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
