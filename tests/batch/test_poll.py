"""Rejections: of whole input files, of single lines, of every call; and missing results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.tables import jobs
from annoy_store.errors import EndpointUnavailable, UsageError
from annoy_store.inference.client import batch_api
from annoy_store.queue.requeue import requeue
from tests.batch.conftest import RunOnce, all_batches, attempt_counts
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider, batch_lines, error_body
from tests.support.provider.batch_lines import batch_error, result_line
from tests.support.provider.batches import Batch, BatchService

UntilDone = Callable[..., int]


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


def test_invalid_lines_fail_and_the_others_continue(
    store: Database, provider: Provider, until_done: UntilDone, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_calls(store, 10)
    real = BatchService.file_error

    def third_line(self: BatchService, batch: Batch, lines: list[bytes]) -> Any:
        bad = len(lines) == 10
        return batch_error("invalid_json_line", "bad line", 3) if bad else real(self, batch, lines)

    monkeypatch.setattr(BatchService, "file_error", third_line)
    until_done(store)
    assert kept(store)["jobs"] == {"done": 9, "failed": 1}
    with store.read() as connection:
        (row,) = connection.execute(jobs.select().where(jobs.c.state == "failed"))
    assert (row.reason, row.detail) == ("invalid_json_line", "bad line")
    third = sorted(r for r in _calls(store))[2]
    assert row.subject_id == third


def _calls(store: Database) -> list[int]:
    with store.read() as connection:
        return [row.subject_id for row in connection.execute(jobs.select())]


def test_batch_file_that_is_always_refused_stops_the_run(
    store: Database, provider: Provider, until_done: UntilDone
) -> None:
    plan_calls(store, 5)
    provider.behave(batch_ends=[{"end": "failed", "code": "invalid_model"} for _ in range(3)])
    with pytest.raises(EndpointUnavailable, match=r"rejects batches .invalid_model: as planned"):
        until_done(store)
    assert kept(store)["jobs"] == {"pending": 5}
    assert attempt_counts(store) == {}
    until_done(store)
    assert kept(store)["jobs"] == {"done": 5}


def test_bad_lines_count_as_tries_until_the_call_fails(
    store: Database, provider: Provider, until_done: UntilDone, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_calls(store, 4)

    def busy(record: Any, index: int) -> Any:
        body = error_body(429 if index % 2 else 500, "busy")
        status = 429 if index % 2 else 500
        return result_line(record, {"status_code": status, "body": body}, None)

    monkeypatch.setattr(batch_lines, "failed_line", busy)
    provider.behave(batch_ends=[{"errors": 1.0} for _ in range(3)])
    until_done(store, tries=3)
    assert kept(store)["jobs"] == {"failed": 4}
    assert sum(attempt_counts(store).values()) == 12
    assert {status for status, _ in attempt_counts(store)} == {"retry", "limited", "failed"}
    with store.write() as connection:
        assert requeue(connection).total() == 4
    provider.behave(batch_ends=[{"errors": 1.0} for _ in range(2)])
    until_done(store, tries=3)  # its tries are counted from 0 again: two more are not too many
    assert (kept(store)["jobs"], kept(store)["wrong"]) == ({"done": 4}, [])


def test_batch_with_only_an_error_file(
    store: Database, provider: Provider, until_done: UntilDone
) -> None:
    plan_calls(store, 6)
    provider.behave(batch_ends=[{"errors": 1.0}])
    until_done(store)
    rejected = attempt_counts(store)["failed", "http_400"]
    assert rejected == 2
    assert kept(store)["jobs"] == {"done": 4, "failed": rejected}


def test_line_with_a_stop_error_fails_no_call(
    sqlite_store: Database,
    provider: Provider,
    until_done: UntilDone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan_calls(sqlite_store, 3)

    def broke(record: Any, _: int) -> Any:
        body = error_body(429, "no money", code="insufficient_quota")
        return result_line(record, {"status_code": 429, "body": body}, None)

    monkeypatch.setattr(batch_lines, "failed_line", broke)
    provider.behave(batch_ends=[{"errors": 1.0}])
    with pytest.raises(EndpointUnavailable, match="no money"):
        until_done(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"pending": 3}
    assert attempt_counts(sqlite_store) == {("stopped", "http_429"): 3}


def test_completed_batch_with_a_missing_line(
    sqlite_store: Database,
    provider: Provider,
    until_done: UntilDone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan_calls(sqlite_store, 5)
    real = BatchService.write_results

    def one_less(self: BatchService, lines: list[Any], what: str) -> Any:
        monkeypatch.setattr(BatchService, "write_results", real)
        return real(self, lines[1:], what)

    monkeypatch.setattr(BatchService, "write_results", one_less)
    until_done(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"done": 5}
    assert attempt_counts(sqlite_store) == {("ok", None): 5, ("retry", "no_line"): 1}


def test_deleted_results_fail_their_calls(
    sqlite_store: Database, provider: Provider, run_once: RunOnce
) -> None:
    plan_calls(sqlite_store, 2)
    provider.behave(batch_ends=[{"polls": 0}])
    run_once(sqlite_store)
    real = provider.files.route

    def gone(request: Any, name: Any, rest: Any) -> Any:
        if rest == ["content"]:
            return 404, error_body(404, "No such File object")
        return real(request, name, rest)

    provider.files.route = gone  # type: ignore[method-assign]
    run_once(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"failed": 2}


def test_endpoint_without_batch_api_loses_nothing(
    sqlite_store: Database, provider: Provider, run_once: RunOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_calls(sqlite_store, 2)
    monkeypatch.setattr(provider.batches, "route", lambda _: (404, error_body(404, "no such path")))
    with pytest.raises(EndpointUnavailable, match=r"has no Batch API .* annoy batch export FILE"):
        run_once(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"pending": 2}


def test_unreachable_endpoint_loses_nothing(
    sqlite_store: Database, run_once: RunOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_api, "RETRY_SECONDS", (0.01,))
    plan_calls(sqlite_store, 2)
    with pytest.raises(EndpointUnavailable, match=r"cannot be reached .* nothing is lost"):
        run_once(sqlite_store, base_url="http://127.0.0.1:9/v1")


def test_batch_run_needs_a_model(sqlite_store: Database, run_once: RunOnce) -> None:
    with pytest.raises(UsageError, match="no model named"):
        run_once(sqlite_store, model=None)
