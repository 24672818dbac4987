"""Rejected input files and lines, and results that are imported, deleted or missing."""

from __future__ import annotations

from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.tables import jobs
from annoy_store.errors import EndpointUnavailable
from annoy_store.maintenance.check import check
from tests.batch.conftest import Killed, RunOnce, UntilDone, attempt_counts
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider, error_body
from tests.support.provider.batch_lines import batch_error
from tests.support.provider.batches import Batch, BatchService

pytestmark = pytest.mark.slow_on("postgres")


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


@pytest.mark.slow
def test_batch_files_are_deleted_after_a_kill(
    store: Database,
    provider: Provider,
    run_once: RunOnce,
    killed: Killed,
    until_done: UntilDone,
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
