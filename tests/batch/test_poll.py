"""What a provider refuses: whole files, single lines, everybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.tables import jobs
from annoy_store.errors import EndpointUnavailable, UsageError
from annoy_store.inference.client import batch_api as wire
from annoy_store.queue.requeue import requeue
from tests.batch.conftest import ComeBy, out, tries
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support import provider as simulator
from tests.support.provider import Provider

UntilDone = Callable[..., int]


def test_a_batch_over_the_queue_limit_waits_for_the_others(
    store: Database, provider: Provider, come_by: ComeBy, until_done: UntilDone
) -> None:
    """Burns nobody's try, and hands in nothing else meanwhile."""
    plan_calls(store, 30)
    provider.behave(enqueued_limit=20)
    come_by(store, batch_lines=10, poll_seconds=30)
    for _ in range(2):
        done = come_by(store, batch_lines=10, poll_seconds=30)
    states = sorted((b.state, b.refusals) for b in out(store))
    assert states == [("bound", 1), ("sent", 0), ("sent", 0)]
    assert "waits" in "".join(done.batch_errors) or done.open_batches
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET due_at = 0 WHERE state = 'bound'")
    until_done(store, batch_lines=10)
    assert (kept(store)["jobs"], tries(store)) == ({"done": 30}, {("ok", None): 30})
    assert provider.stats()["paid_twice"] == 0


def test_batches_that_are_too_large_by_themselves_get_smaller(
    store: Database, provider: Provider, until_done: UntilDone
) -> None:
    plan_calls(store, 40)
    provider.behave(enqueued_limit=12)
    until_done(store)
    assert kept(store)["jobs"] == {"done": 40}
    assert tries(store) == {("ok", None): 40}
    answered = [b.n_calls for b in out(store) if b.n_answered]
    assert max(answered) == 10
    assert provider.stats()["paid_twice"] == 0


def test_lines_that_spoil_a_file_fail_and_the_others_go_on(
    store: Database, provider: Provider, until_done: UntilDone, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_calls(store, 10)
    real = simulator.Batches.problem

    def third_line(self: simulator.Batches, batch: simulator.Batch, lines: list[bytes]) -> Any:
        bad = len(lines) == 10
        return (
            simulator.fault("invalid_json_line", "bad line", 3) if bad else real(self, batch, lines)
        )

    monkeypatch.setattr(simulator.Batches, "problem", third_line)
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


def test_a_file_that_is_refused_again_and_again_stops_the_run(
    store: Database, provider: Provider, until_done: UntilDone
) -> None:
    plan_calls(store, 5)
    provider.behave(batch_ends=[{"end": "failed", "code": "invalid_model"} for _ in range(3)])
    with pytest.raises(EndpointUnavailable, match=r"refuses batches .invalid_model: as planned"):
        until_done(store)
    assert kept(store)["jobs"] == {"pending": 5}
    assert tries(store) == {}
    until_done(store)
    assert kept(store)["jobs"] == {"done": 5}


def test_bad_lines_burn_tries_until_a_call_is_given_up(
    store: Database, provider: Provider, until_done: UntilDone, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_calls(store, 4)

    def busy(record: Any, index: int) -> Any:
        body = simulator.error_body(429 if index % 2 else 500, "busy")
        status = 429 if index % 2 else 500
        return simulator.line_of(record, {"status_code": status, "body": body}, None)

    monkeypatch.setattr(simulator, "failed_line", busy)
    provider.behave(batch_ends=[{"errors": 1.0} for _ in range(3)])
    until_done(store, tries=3)
    assert kept(store)["jobs"] == {"failed": 4}
    assert sum(tries(store).values()) == 12
    assert {status for status, _ in tries(store)} == {"retry", "limited", "failed"}
    with store.write() as connection:
        assert requeue(connection).total() == 4
    provider.behave(batch_ends=[{"errors": 1.0} for _ in range(2)])
    until_done(store, tries=3)  # its tries are forgotten: two more are not too many
    assert (kept(store)["jobs"], kept(store)["wrong"]) == ({"done": 4}, [])


def test_only_an_error_file(store: Database, provider: Provider, until_done: UntilDone) -> None:
    plan_calls(store, 6)
    provider.behave(batch_ends=[{"errors": 1.0}])
    until_done(store)
    refused = tries(store)["failed", "http_400"]
    assert refused == 2
    assert kept(store)["jobs"] == {"done": 4, "failed": refused}


def test_a_line_that_says_nobody_gets_an_answer_fails_no_call(
    sqlite_store: Database,
    provider: Provider,
    until_done: UntilDone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan_calls(sqlite_store, 3)

    def broke(record: Any, _: int) -> Any:
        body = simulator.error_body(429, "no money", code="insufficient_quota")
        return simulator.line_of(record, {"status_code": 429, "body": body}, None)

    monkeypatch.setattr(simulator, "failed_line", broke)
    provider.behave(batch_ends=[{"errors": 1.0}])
    with pytest.raises(EndpointUnavailable, match="no money"):
        until_done(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"pending": 3}
    assert tries(sqlite_store) == {("stopped", "http_429"): 3}


def test_a_completed_batch_that_forgot_a_line(
    sqlite_store: Database,
    provider: Provider,
    until_done: UntilDone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan_calls(sqlite_store, 5)
    real = simulator.Batches.written

    def one_less(self: simulator.Batches, lines: list[Any], what: str) -> Any:
        monkeypatch.setattr(simulator.Batches, "written", real)
        return real(self, lines[1:], what)

    monkeypatch.setattr(simulator.Batches, "written", one_less)
    until_done(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"done": 5}
    assert tries(sqlite_store) == {("ok", None): 5, ("retry", "no_line"): 1}


def test_answers_that_were_deleted_are_not_paid_again_unasked(
    sqlite_store: Database, provider: Provider, come_by: ComeBy
) -> None:
    plan_calls(sqlite_store, 2)
    provider.behave(batch_ends=[{"polls": 0}])
    come_by(sqlite_store)
    real = provider.store.file_route

    def gone(request: Any, name: Any, rest: Any) -> Any:
        if rest == ["content"]:
            return 404, simulator.error_body(404, "No such File object")
        return real(request, name, rest)

    provider.store.file_route = gone  # type: ignore[method-assign]
    come_by(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"failed": 2}


def test_an_endpoint_without_batches_loses_nothing(
    sqlite_store: Database, provider: Provider, come_by: ComeBy, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_calls(sqlite_store, 2)
    monkeypatch.setattr(
        provider.store, "route", lambda _: (404, simulator.error_body(404, "no such path"))
    )
    with pytest.raises(EndpointUnavailable, match=r"has no Batch API .* annoy batch export FILE"):
        come_by(sqlite_store)
    assert kept(sqlite_store)["jobs"] == {"pending": 2}


def test_nobody_there_loses_nothing(
    sqlite_store: Database, come_by: ComeBy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "RETRY_SECONDS", (0.01,))
    plan_calls(sqlite_store, 2)
    with pytest.raises(EndpointUnavailable, match=r"cannot be reached .* nothing is lost"):
        come_by(sqlite_store, base_url="http://127.0.0.1:9/v1")


def test_a_model_is_needed(sqlite_store: Database, come_by: ComeBy) -> None:
    with pytest.raises(UsageError, match="no model named"):
        come_by(sqlite_store, model=None)
