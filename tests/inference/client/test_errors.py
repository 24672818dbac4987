"""Classification of error responses, and redaction of their messages."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from annoy_store.inference.client.errors import (
    error_from_body,
    error_from_status,
    error_object,
    redact,
)


def error(message: str = "no", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None, **more}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, error(), "limited"),
        (429, error(code="rate_limit_exceeded"), "limited"),
        (429, error(code="insufficient_quota"), "stop"),
        (429, error(type="insufficient_quota"), "stop"),
        (401, error(code="invalid_api_key"), "stop"),
        (402, error("Insufficient Balance"), "stop"),
        (403, error("not your region"), "refused"),
        (
            403,
            error("Your chosen model requires moderation and your input was flagged"),
            "refused",
        ),
        (404, error(code="model_not_found"), "stop"),
        (404, error("The model `gpt-9` does not exist."), "stop"),
        (404, error("model 'llama9' not found, try pulling it first"), "stop"),
        (404, {"detail": "Not Found"}, "refused"),
        (400, error("Model Not Exist"), "stop"),
        (400, error("bad", code="unsupported_parameter", param="temperature"), "refused"),
        (400, error("bad", code="unsupported_value", param="temperature"), "refused"),
        (400, error("too long", code="context_length_exceeded"), "refused"),
        (400, error("'max_tokens' is too large", param="max_tokens"), "refused"),
        (400, error("Content Exists Risk"), "refused"),
        (400, error("no", code="content_filter"), "refused"),
        (413, error(), "refused"),
        (422, error(), "refused"),
        (418, error(), "refused"),
        (408, error(), "retry"),
        (409, error(), "retry"),
        (425, error(), "retry"),
        (500, error("The model does not exist today"), "retry"),
        (502, "<html>bad gateway</html>", "retry"),
        (503, None, "retry"),
        (504, error(), "retry"),
        (520, "", "retry"),
        (529, error(type="overloaded_error"), "retry"),
        (500, error(code="insufficient_quota"), "retry"),
    ],
)
def test_error_from_status_classifies(status: int, body: object, kind: str) -> None:
    failure = error_from_status(status, body, {}, 0.0)
    assert failure.kind == kind
    assert failure.status == status
    assert failure.is_retryable == (kind in ("retry", "limited"))


def test_error_from_status_keeps_retry_after_of_retryable_errors() -> None:
    assert error_from_status(429, error(), {"retry-after": "3"}, 0.0).retry_after == 3
    assert error_from_status(503, error(), {"retry-after": "3"}, 0.0).retry_after == 3
    assert error_from_status(400, error(), {"retry-after": "3"}, 0.0).retry_after is None


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "text",
        [],
        5,
        {},
        {"error": None},
        {"error": "words"},
        {"error": {"code": 5}},
        {"message": "flat"},
        {"detail": [{"loc": ["body"], "msg": "field required"}]},
    ],
)
def test_error_object_has_a_message_for_any_body(body: object) -> None:
    assert isinstance(error_object(body)["message"], str)


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdef123456.",
        "Authorization: Bearer abcdefgh12345678",
        "key hf_abcdefgh12345678 was refused",
        "my-very-own-secret is wrong",
        "key=AIzaSyabcdef0123456789",
        "token ghp_abcdef0123456789",
        "Basic abcdef0123456789",
        "jwt eyJabcdef0123456789.e30.x",
    ],
)
def test_redact_removes_keys(text: str) -> None:
    clean = redact(text, "my-very-own-secret")
    assert "***" in clean
    for secret in ("abcdef", "my-very-own"):
        assert secret not in clean


def test_redact_removes_the_key_however_it_is_quoted() -> None:
    key = 'own/"secret"+1'
    for text in (json.dumps({"key": key}), quote(key, safe=""), f"{key} is wrong"):
        assert "secret" not in redact(text, key)


def test_redact_returns_one_short_line() -> None:
    clean = redact("a\nb\x00\ud800 " + "word " * 500)
    assert "\n" not in clean
    assert len(clean) == 500
    clean.encode()


@pytest.mark.parametrize(
    ("body", "kind", "name"),
    [
        ({"error": {"message": "Invalid API key provided", "code": None}}, "stop", "http_401"),
        ({"error": {"message": "no", "code": "invalid_api_key"}}, "stop", "http_401"),
        ({"error": "Unauthorized"}, "stop", "http_401"),
        ({"detail": "API key is missing"}, "stop", "http_401"),
        ({"code": 401, "message": "no"}, "stop", "http_401"),
        ({"errors": [{"code": 10000, "message": "Authentication error"}]}, "stop", "http_401"),
        ({"error": {"message": "no", "code": "insufficient_quota"}}, "stop", "http_402"),
        ({"error": {"message": "The model `x` does not exist"}}, "stop", "http_404"),
        ({"error": {"message": "Your input was flagged"}}, "refused", "content_filter"),
        ({"error": {"message": "try again in 3s", "code": "429"}}, "limited", "http_429"),
        ({"error": {"message": "upstream failed", "code": 502}}, "retry", "http_502"),
        ({"error": {"message": "no such thing as 'invalid API key'"}}, "retry", "http_500"),
        ({"base_resp": {"status_code": 0, "status_msg": "odd"}}, "retry", "http_500"),
        ({"choices": []}, "retry", "no_choices"),
        ({}, "retry", "no_choices"),
    ],
)
def test_error_from_body_reads_what_came_with_status_200(
    body: dict[str, Any], kind: str, name: str
) -> None:
    failure = error_from_body(body)
    assert (failure.kind, failure.name) == (kind, name)


@pytest.mark.parametrize(
    "body",
    [
        [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}],
        {"error": {"message": "Incorrect API key provided"}},
        {"error": {"message": "Your access token has expired"}},
        {"message": "Invalid authentication"},
        "Missing Authorization header: no API key",
    ],
)
def test_error_from_status_stops_at_a_key_that_is_told_to_be_bad(body: object) -> None:
    failure = error_from_status(400, body, {}, 0.0)
    assert (failure.kind, failure.is_about_key) == ("stop", True)


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("Unknown field top_k (request 17)", "Unknown field top_k (request 4)", True),
        ("Bad value 'one prompt'", "Bad value 'another prompt'", True),
        ("Unknown field top_k", "Your input was too long", False),
    ],
)
def test_likeness_leaves_out_what_a_message_quotes(first: str, second: str, alike: bool) -> None:
    errors = [error_from_status(400, error(words), {}, 0.0) for words in (first, second)]
    assert (errors[0].likeness == errors[1].likeness) == alike


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Request too large on TPM: Limit 10,000, Requested 15,000.", "refused"),
        ("Rate limit reached: Limit 10000, Used 9000, Requested 5000.", "limited"),
    ],
)
def test_error_from_status_knows_a_call_larger_than_the_limit(message: str, kind: str) -> None:
    assert error_from_status(429, error(message), {}, 0.0).kind == kind
