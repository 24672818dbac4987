"""Batches by file: exported, answered elsewhere, imported; in any order, and twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annoy_store.batch.files import export_again, export_requests, import_results, release
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.tables import hidden_subjects
from annoy_store.errors import UsageError
from annoy_store.maintenance.check import check
from annoy_store.queue.counters import funnel
from tests.batch.conftest import RunOnce, all_batches, attempt_counts
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.factories import asked, source, write_all
from tests.support.provider import Provider, default_answer
from tests.support.provider.batch_lines import failed_line, result_line, unprocessed_line

pytestmark = pytest.mark.slow_on("postgres")

LOCAL = {"teacher": "batch", "model": "sim", "base_url": "http://localhost:8000/v1"}
SETTINGS = RunSettings(**LOCAL)


def answered(record: dict[str, Any]) -> dict[str, Any]:
    """Return the line that `vllm run-batch` writes for a request."""
    text = default_answer(record["body"]["messages"], 200)
    message = {"role": "assistant", "content": text}
    body = {
        "model": "sim",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 50},
    }
    return result_line(record, {"status_code": 200, "request_id": "x", "body": body}, None)


def requests_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_import_results_in_pieces_and_twice(store: Database, tmp_path: Path) -> None:
    plan_calls(store, 20)
    written = export_requests(store, SETTINGS, tmp_path / "in.jsonl")
    assert written
    assert (written.n_lines, [b.state for b in all_batches(store)]) == (20, ["exported"])
    assert kept(store)["jobs"] == {"deferred": 20}
    assert check(store) == []
    lines = requests_in(tmp_path / "in.jsonl")
    first = write(tmp_path / "a.jsonl", [answered(r) for r in reversed(lines[:12])])
    bad = [failed_line(lines[12], 0), unprocessed_line(lines[13], "batch_expired")]
    rest = write(tmp_path / "b.jsonl", bad + [answered(r) for r in lines[14:]])
    (back,), _ = import_results(store, SETTINGS, [first])
    assert (back.job_states, back.n_missing, back.n_known) == (Counter(done=12), 8, 0)
    (back,), _ = import_results(store, SETTINGS, [first, rest])
    assert back.job_states == Counter(done=6, failed=1, pending=1)
    assert (back.n_missing, back.n_known, back.n_pending) == (0, 12, 1)
    end = kept(store)
    assert (end["answers"], end["wrong"]) == (18, [])
    assert end["jobs"] == {"done": 18, "failed": 1, "pending": 1}
    assert sum(attempt_counts(store).values()) == 20
    assert [b.state for b in all_batches(store)] == ["ended"]
    (back,), _ = import_results(store, SETTINGS, [rest])
    assert (back.n_lines, back.n_known, sum(attempt_counts(store).values())) == (0, 8, 20)
    assert check(store) == []


def test_exported_calls_are_not_submitted(
    sqlite_store: Database, tmp_path: Path, run_once: RunOnce
) -> None:
    plan_calls(sqlite_store, 5)
    export_requests(sqlite_store, SETTINGS, tmp_path / "in.jsonl", most=3)
    done = run_once(sqlite_store)
    assert done.progress.submitted_calls == 2
    assert any("annoy batch import FILE" in words for words in done.open_batches)


def test_export_again_writes_the_same_file(sqlite_store: Database, tmp_path: Path) -> None:
    plan_calls(sqlite_store, 3)
    written = export_requests(sqlite_store, SETTINGS, tmp_path / "in.jsonl")
    assert written
    again = export_again(sqlite_store, SETTINGS, written.batch_id, tmp_path / "again.jsonl")
    assert again.n_lines == 3
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "in.jsonl").read_bytes()
    other = RunSettings(**LOCAL, temperature=0.1)
    with pytest.raises(UsageError, match="with other settings"):
        export_again(sqlite_store, other, written.batch_id, tmp_path / "other.jsonl")
    with pytest.raises(UsageError, match="no batch that was exported"):
        export_again(sqlite_store, SETTINGS, 99, tmp_path / "other.jsonl")


def test_export_requests_overwrites_no_file(sqlite_store: Database, tmp_path: Path) -> None:
    plan_calls(sqlite_store, 1)
    (tmp_path / "in.jsonl").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        export_requests(sqlite_store, SETTINGS, tmp_path / "in.jsonl")
    assert kept(sqlite_store)["jobs"] in ({}, {"pending": 1})
    assert all_batches(sqlite_store) == []


def test_import_results_after_their_batch_was_released(
    store: Database, tmp_path: Path, provider: Provider, until_done: Callable[..., int]
) -> None:
    """They are kept for calls that have no other answer since, and only once."""
    plan_calls(store, 4)
    export_requests(store, SETTINGS, tmp_path / "in.jsonl")
    lines = requests_in(tmp_path / "in.jsonl")
    (batch,) = all_batches(store)
    release(store, SETTINGS, batch)
    assert kept(store)["jobs"] == {"pending": 4}
    (back,), _ = import_results(
        store, SETTINGS, [write(tmp_path / "a.jsonl", [answered(lines[0])])]
    )
    assert back.job_states == Counter(done=1)
    until_done(store)
    late = write(tmp_path / "b.jsonl", [answered(r) for r in lines])
    (back,), _ = import_results(store, SETTINGS, [late])
    assert (back.n_lines, back.n_known) == (0, 4)
    assert (kept(store)["answers"], provider.stats()["paid"]) == (4, 3)
    assert check(store) == []


def test_import_results_counts_foreign_lines(sqlite_store: Database, tmp_path: Path) -> None:
    plan_calls(sqlite_store, 1)
    export_requests(sqlite_store, SETTINGS, tmp_path / "in.jsonl")
    (one,) = requests_in(tmp_path / "in.jsonl")
    other = answered({**one, "custom_id": "0123456789ab-1"})
    lines = write(tmp_path / "a.jsonl", [other, {"custom_id": "request-1"}])
    with lines.open("a") as file:
        file.write('{"custom_id": "trunca')
    assert import_results(sqlite_store, SETTINGS, [lines]) == ([], 1)
    assert kept(sqlite_store)["jobs"] == {"deferred": 1}


def test_export_again_leaves_out_a_source_taken_down(
    sqlite_store: Database, tmp_path: Path
) -> None:
    """Its request is not written any more, and its call has left the batch."""
    with sqlite_store.write() as connection:
        for i in range(2):
            of = source(f"print({i})\n")
            write_all(connection, asked(f"question {i}", about=str(i), source_id=of))
    written = export_requests(sqlite_store, SETTINGS, tmp_path / "in.jsonl")
    assert written
    assert written.n_lines == 2
    with sqlite_store.write() as connection:
        connection.execute(hidden_subjects.insert().values(kind="source", subject_id=1))
    again = export_again(sqlite_store, SETTINGS, written.batch_id, tmp_path / "again.jsonl")
    assert again.n_lines == 1
    with sqlite_store.read() as connection:
        assert funnel(connection)["complete"] == {"deferred": 1, "rejected": 1}
