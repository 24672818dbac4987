"""Batches by file: written, answered elsewhere, taken back; whatever the order, and twice."""

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
from tests.batch.conftest import ComeBy, out, tries
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.factories import asked, source, write_all
from tests.support.provider import Provider, default_answer, failed_line, line_of, unserved_line

LOCAL = {"teacher": "batch", "model": "sim", "base_url": "http://localhost:8000/v1"}
SETTINGS = RunSettings(**LOCAL)


def answered(record: dict[str, Any]) -> dict[str, Any]:
    """The line that `vllm run-batch` writes for a question."""
    text = default_answer(record["body"]["messages"], 200)
    message = {"role": "assistant", "content": text}
    body = {
        "model": "sim",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 50},
    }
    return line_of(record, {"status_code": 200, "request_id": "x", "body": body}, None)


def questions(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_out_and_back_in_pieces_and_twice(store: Database, tmp_path: Path) -> None:
    plan_calls(store, 20)
    written = export_requests(store, SETTINGS, tmp_path / "in.jsonl")
    assert written
    assert (written.lines, [b.state for b in out(store)]) == (20, ["exported"])
    assert kept(store)["jobs"] == {"deferred": 20}
    assert check(store) == []
    lines = questions(tmp_path / "in.jsonl")
    first = write(tmp_path / "a.jsonl", [answered(q) for q in reversed(lines[:12])])
    bad = [failed_line(lines[12], 0), unserved_line(lines[13], "batch_expired")]
    rest = write(tmp_path / "b.jsonl", bad + [answered(q) for q in lines[14:]])
    (back,), _ = import_results(store, SETTINGS, [first])
    assert (back.ended, back.missing, back.known) == (Counter(done=12), 8, 0)
    (back,), _ = import_results(store, SETTINGS, [first, rest])
    assert back.ended == Counter(done=6, failed=1, pending=1)
    assert (back.missing, back.known, back.again) == (0, 12, 1)
    end = kept(store)
    assert (end["answers"], end["wrong"]) == (18, [])
    assert end["jobs"] == {"done": 18, "failed": 1, "pending": 1}
    assert sum(tries(store).values()) == 20
    assert [b.state for b in out(store)] == ["ended"]
    (back,), _ = import_results(store, SETTINGS, [rest])
    assert (back.lines, back.known, sum(tries(store).values())) == (0, 8, 20)
    assert check(store) == []


def test_what_is_out_in_a_file_is_not_handed_in(
    sqlite_store: Database, tmp_path: Path, come_by: ComeBy
) -> None:
    plan_calls(sqlite_store, 5)
    export_requests(sqlite_store, SETTINGS, tmp_path / "in.jsonl", most=3)
    done = come_by(sqlite_store)
    assert done.progress.submitted_calls == 2
    assert any("annoy batch import FILE" in words for words in done.open_batches)


def test_the_same_file_once_more(sqlite_store: Database, tmp_path: Path) -> None:
    plan_calls(sqlite_store, 3)
    written = export_requests(sqlite_store, SETTINGS, tmp_path / "in.jsonl")
    assert written
    again = export_again(sqlite_store, SETTINGS, written.batch_id, tmp_path / "again.jsonl")
    assert again.lines == 3
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "in.jsonl").read_bytes()
    other = RunSettings(**LOCAL, temperature=0.1)
    with pytest.raises(UsageError, match="with other settings"):
        export_again(sqlite_store, other, written.batch_id, tmp_path / "other.jsonl")
    with pytest.raises(UsageError, match="no batch that was exported"):
        export_again(sqlite_store, SETTINGS, 99, tmp_path / "other.jsonl")


def test_a_file_that_is_there_is_left_alone(sqlite_store: Database, tmp_path: Path) -> None:
    plan_calls(sqlite_store, 1)
    (tmp_path / "in.jsonl").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        export_requests(sqlite_store, SETTINGS, tmp_path / "in.jsonl")
    assert kept(sqlite_store)["jobs"] in ({}, {"pending": 1})
    assert out(sqlite_store) == []


def test_answers_that_come_after_their_batch_was_let_go(
    store: Database, tmp_path: Path, provider: Provider, until_done: Callable[..., int]
) -> None:
    """They are kept where nobody has answered since, and only once."""
    plan_calls(store, 4)
    export_requests(store, SETTINGS, tmp_path / "in.jsonl")
    lines = questions(tmp_path / "in.jsonl")
    (batch,) = out(store)
    release(store, SETTINGS, batch)
    assert kept(store)["jobs"] == {"pending": 4}
    (back,), _ = import_results(
        store, SETTINGS, [write(tmp_path / "a.jsonl", [answered(lines[0])])]
    )
    assert back.ended == Counter(done=1)
    until_done(store)
    late = write(tmp_path / "b.jsonl", [answered(q) for q in lines])
    (back,), _ = import_results(store, SETTINGS, [late])
    assert (back.lines, back.known) == (0, 4)
    assert (kept(store)["answers"], provider.stats()["paid"]) == (4, 3)
    assert check(store) == []


def test_lines_of_nobody(sqlite_store: Database, tmp_path: Path) -> None:
    plan_calls(sqlite_store, 1)
    export_requests(sqlite_store, SETTINGS, tmp_path / "in.jsonl")
    (one,) = questions(tmp_path / "in.jsonl")
    other = answered({**one, "custom_id": "0123456789ab-1"})
    lines = write(tmp_path / "a.jsonl", [other, {"custom_id": "request-1"}])
    with lines.open("a") as file:
        file.write('{"custom_id": "trunca')
    assert import_results(sqlite_store, SETTINGS, [lines]) == ([], 1)
    assert kept(sqlite_store)["jobs"] == {"deferred": 1}


def test_a_source_taken_down_meanwhile_leaves_the_file(
    sqlite_store: Database, tmp_path: Path
) -> None:
    """Its question is not asked any more, and its call is no part of the batch."""
    with sqlite_store.write() as connection:
        for i in range(2):
            of = source(f"print({i})\n")
            write_all(connection, asked(f"question {i}", about=str(i), source_id=of))
    written = export_requests(sqlite_store, SETTINGS, tmp_path / "in.jsonl")
    assert written
    assert written.lines == 2
    with sqlite_store.write() as connection:
        connection.execute(hidden_subjects.insert().values(kind="source", subject_id=1))
    again = export_again(sqlite_store, SETTINGS, written.batch_id, tmp_path / "again.jsonl")
    assert again.lines == 1
    with sqlite_store.read() as connection:
        assert funnel(connection)["complete"] == {"deferred": 1, "rejected": 1}
