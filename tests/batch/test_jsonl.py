"""Lines of batch files: requests, and what every form of result means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annoy_store.batch.jsonl import parse_result_line, request_line
from annoy_store.inference.client.errors import CallError
from annoy_store.interfaces import Completion

NAME = "0123456789ab"


def completion(**message: Any) -> dict[str, Any]:
    choice = {
        "message": {"role": "assistant", "content": "yes", **message},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return {"model": "m-2026", "choices": [choice], "usage": usage}


def reply(response: Any, error: Any = None, custom_id: str = f"{NAME}-42") -> Any:
    line = json.dumps({"id": "x", "custom_id": custom_id, "response": response, "error": error})
    return parse_result_line(line.encode())


def test_request_line_holds_the_body_unchanged() -> None:
    line = request_line(NAME, 42, b'{"model":"m","messages":[]}')
    assert json.loads(line) == {
        "custom_id": f"{NAME}-42",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "messages": []},
    }
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1


def test_parse_result_line_returns_completion_and_usage() -> None:
    got = reply({"status_code": 200, "body": completion(reasoning_content="hm")})
    assert (got.batch_name, got.call_id, got.is_processed) == (NAME, 42, True)
    assert got.result == Completion("yes", "stop", "hm", "m-2026")
    assert (got.usage.prompt, got.usage.completion) == (7, 3)


@pytest.mark.parametrize(
    ("response", "error", "kind", "name", "processed"),
    [
        (
            {"status_code": 400, "body": {"error": {"message": "bad"}}},
            None,
            "refused",
            "http_400",
            True,
        ),
        ({"status_code": 429, "body": {"error": {}}}, None, "limited", "http_429", True),
        ({"status_code": 503, "body": None}, None, "retry", "http_503", True),
        (
            {"status_code": 400, "body": None},
            {"code": "content_filter", "message": "no"},
            "refused",
            "content_filter",
            True,
        ),
        ({"status_code": 200, "body": completion(content=" ")}, None, "retry", "empty", True),
        ({"status_code": 200, "body": None}, None, "retry", "bad_body", True),
        ({"status_code": 200, "body": {"choices": []}}, None, "retry", "no_choices", True),
        (None, {"code": "batch_expired", "message": "late"}, "retry", "batch_expired", False),
        (None, {"code": "batch_cancelled", "message": "so"}, "retry", "batch_cancelled", False),
        (None, {"code": "server error", "message": "so"}, "retry", "server_error", True),
        (None, None, "retry", "no_response", True),
    ],
)
def test_parse_result_line_returns_errors(
    response: Any, error: Any, kind: str, name: str, processed: bool
) -> None:
    got = reply(response, error)
    assert isinstance(got.result, CallError)
    assert (got.result.kind, got.result.name, got.is_processed) == (kind, name, processed)


def test_parse_result_line_keeps_the_usage_of_an_empty_answer() -> None:
    got = reply({"status_code": 200, "body": completion(content="")})
    assert (got.usage.prompt, got.usage.completion) == (7, 3)


def test_parse_result_line_redacts_keys() -> None:
    body = {"error": {"message": "Incorrect API key provided: sk-abcdef123456."}}
    got = reply({"status_code": 400, "body": body})
    assert "abcdef" not in got.result.message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"custom_id": 7}',
        b'{"custom_id": "request-1"}',
        b'{"custom_id": "0123456789ab-x"}',
        b'{"custom_id": "0123456789ab-1\\n"}',
        b"<html>",
    ],
)
def test_parse_result_line_skips_foreign_lines(line: bytes) -> None:
    assert parse_result_line(line) is None


def test_parse_result_line_reads_a_body_that_came_as_text() -> None:
    answer = {"choices": [{"message": {"content": "four"}, "finish_reason": "stop"}]}
    body = f"data: {json.dumps(answer)}\n\ndata: [DONE]\n\n"
    record = {"custom_id": f"{'a' * 12}-7", "response": {"status_code": 200, "body": body}}
    found = parse_result_line(json.dumps(record).encode())
    assert found is not None
    assert found.result == Completion("four")
