"""Result lines: which end a call, which count as a try, and what an interruption leaves."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from annoy_store.batch import jsonl, poll
from annoy_store.batch.results import import_results_page
from annoy_store.db.engine import Database
from annoy_store.errors import EndpointUnavailable
from annoy_store.queue.requeue import requeue
from tests.batch.conftest import RunOnce, UntilDone, attempt_counts
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider, batch_lines, error_body
from tests.support.provider.batch_lines import result_line
from tests.support.provider.batches import BatchService
from tests.support.provider.families import FAMILIES

pytestmark = pytest.mark.slow_on("postgres")


def test_batch_import_continues_after_an_interruption(
    store: Database,
    provider: Provider,
    run_once: RunOnce,
    until_done: UntilDone,
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


@pytest.mark.slow
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


@pytest.mark.parametrize(("bad", "left"), [(8, {"pending": 8}), (7, {"done": 1, "failed": 7})])
def test_refusal_that_all_lines_share_fails_no_call(
    sqlite_store: Database,
    provider: Provider,
    until_done: UntilDone,
    monkeypatch: pytest.MonkeyPatch,
    bad: int,
    left: dict[str, int],
) -> None:
    """Whether one line is answered decides whose fault it is."""
    plan_calls(sqlite_store, 8)

    def refused(record: Any, index: int) -> Any:
        body = error_body(400, f"Unknown parameter: top_k (request {index})")
        return result_line(record, {"status_code": 400, "body": body}, None)

    monkeypatch.setattr(batch_lines, "failed_line", refused)
    provider.behave(batch_ends=[{"errors": bad / 8}])
    if bad == 8:
        with pytest.raises(EndpointUnavailable, match="top_k"):
            until_done(sqlite_store)
    else:
        until_done(sqlite_store)
    assert kept(sqlite_store)["jobs"] == left


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


@pytest.mark.parametrize("fault", ["error_beside", "reasoning_only"])
def test_line_with_an_answer_that_is_not_whole_is_tried_once_more_and_kept(
    store: Database,
    provider: Provider,
    until_done: UntilDone,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    plan_calls(store, 2)
    seeds = []

    def broken_off(record: Any, _: int) -> Any:
        seeds.append(record["body"]["seed"])
        body = provider.completions.build(record["body"], provider.behaviour, fault)
        return result_line(record, {"status_code": 200, "body": body}, None)

    monkeypatch.setattr(batch_lines, "failed_line", broken_off)
    provider.behave(batch_ends=[{"errors": 1.0}] * 3)
    until_done(store, tries=5)
    assert len(set(seeds)) == len(seeds) == 4
    assert kept(store)["jobs"] == {"done": 2}
    with store.read() as connection:
        responses = connection.execute(text("SELECT finish_reason, text, reasoning FROM responses"))
        assert all(
            finish == "incomplete" and bool(said) != bool(thought)
            for finish, said, thought in responses
        )
        beside = connection.execute(text("SELECT status, text IS NULL FROM attempts ORDER BY id"))
        assert sorted((status, bool(none)) for status, none in beside) == [
            *[("ok", True)] * 2,
            *[("retry", False)] * 2,
        ]


def test_lines_that_refuse_a_field_leave_it_out_of_the_next_batch(
    store: Database,
    provider: Provider,
    until_done: UntilDone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan_calls(store, 7)
    bodies = []

    def refused(record: Any, _: int) -> Any:
        bodies.append(record["body"])
        if found := FAMILIES["openai"](record["body"]):
            return result_line(record, {"status_code": found[0], "body": found[1]}, None)
        body = provider.completions.build(record["body"], provider.behaviour, "ok")
        return result_line(record, {"status_code": 200, "body": body}, None)

    monkeypatch.setattr(batch_lines, "failed_line", refused)
    provider.behave(batch_ends=[{"errors": 1.0}] * 4)
    until_done(store, model="gpt-5-mini")
    assert kept(store)["jobs"] == {"done": 7}
    assert [("max_tokens" in b, "temperature" in b) for b in bodies] == [
        *[(True, True)] * 7,
        *[(False, True)] * 7,
        *[(False, False)] * 7,
    ]
    assert {body["max_completion_tokens"] for body in bodies[7:]} == {100}
