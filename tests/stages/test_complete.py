"""Requests of calls, and outcomes of their results."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.db.tables import attempts, responses
from annoy_store.interfaces import Attempt, CallResult, Completion
from annoy_store.stages.complete import attempt_rows, build_outcome, build_request, select_subjects
from tests.support.factories import asked, source, write_all

ATTEMPT = Attempt("ok", "2026-01-01T00:00:00.000+00:00", 12.5, error_message="a\0b")
IDS = 7, 3, 1


def test_build_request_derives_its_seed_from_prompt_and_sample_number() -> None:
    row = {
        "subject_id": 7,
        "kind": "transform",
        "messages": json.dumps([{"role": "user", "content": "hi"}]),
        "digest": "d",
        "sample_no": 0,
        "replies_before": 0,
        "unread_before": 0,
        "is_refuted": 0,
    }
    first, again = build_request(row), build_request(row)
    other = build_request({**row, "sample_no": 1})
    assert (first.call_id, first.kind, first.messages[0]["content"]) == (7, "transform", "hi")
    assert first.seed == again.seed != other.seed


def test_build_outcome_of_an_answer_has_response_and_attempts() -> None:
    completion = Completion("text\0", "length", reasoning="why")
    outcome = build_outcome(CallResult("answered", (ATTEMPT,), completion), *IDS)
    assert outcome.state == "done"
    response, attempt = outcome.rows
    assert (response.table, attempt.table) == (responses, attempts)
    assert response.values["text"] == "text\ufffd"
    assert (response.values["n_chars"], response.values["finish_reason"]) == (5, "length")
    assert response.values["reasoning"] == "why"


def test_build_outcome_keeps_reason_and_attempts_without_an_answer() -> None:
    rejected = build_outcome(CallResult("rejected", (ATTEMPT,), reason="content_filter"), *IDS)
    assert (rejected.state, rejected.reason, len(rejected.rows)) == (
        "rejected",
        "content_filter",
        1,
    )
    failed = build_outcome(CallResult("failed", (ATTEMPT, ATTEMPT)), *IDS)
    assert (failed.state, failed.reason, len(failed.rows)) == ("failed", "no_answer", 2)


def test_attempt_rows_name_call_teacher_and_worker() -> None:
    [row] = attempt_rows([replace(ATTEMPT, text="c\0", reasoning="d")], *IDS)
    assert row.table is attempts
    assert (row.values["call_id"], row.values["teacher_id"], row.values["worker_id"]) == IDS
    assert row.values["error_message"] == "a\ufffdb"
    assert (row.values["text"], row.values["reasoning"]) == ("c\ufffd", "d")


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ({"http_status": 200, "status": "retry"}, (0, 1)),
        ({"http_status": 200, "status": "failed"}, (0, 1)),
        ({"http_status": 200, "status": "retry", "text": "ha"}, (1, 0)),
        ({"http_status": None, "status": "retry", "text": ""}, (1, 0)),
        ({"http_status": 503, "status": "retry"}, (0, 0)),
        ({"http_status": None, "status": "retry"}, (0, 0)),
    ],
)
def test_select_subjects_counts_the_replies_that_change_the_seed(
    store: Database, values: dict[str, Any], counts: tuple[int, int]
) -> None:
    with store.write() as connection:
        words = source()
        write_all(connection, asked(source_id=words))
        write_all(connection, attempt_rows([replace(ATTEMPT, **values)], 1, 0, 0))
    with store.read() as connection:
        (row,) = connection.execute(select_subjects(Policy())).mappings()
    assert (row["replies_before"], row["unread_before"]) == counts
