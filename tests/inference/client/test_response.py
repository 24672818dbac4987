"""Parsing of chat completions: answers, errors and reasoning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.response import read_completion
from annoy_store.inference.client.usage import TokenUsage
from annoy_store.interfaces import Completion


def body(content: Any = "four", finish: Any = "stop", **message: Any) -> bytes:
    choice = {"message": {"role": "assistant", "content": content, **message}}
    usage = {"prompt_tokens": 8, "completion_tokens": 5}
    completion = {"model": "m", "choices": [{**choice, "finish_reason": finish}], "usage": usage}
    return json.dumps(completion).encode()


def test_read_completion_reads_a_plain_answer() -> None:
    answer, tokens = read_completion(body())
    assert (answer.text, answer.finish_reason, answer.model) == ("four", "stop", "m")
    assert answer.reasoning is None
    assert tokens == TokenUsage(prompt=8, completion=5)


@pytest.mark.parametrize("blanks", [b"\n\n\n", b"\r\n  \n", b" "])
def test_read_completion_skips_blank_lines(blanks: bytes) -> None:
    assert read_completion(blanks + body())[0].text == "four"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "bad_body"),
        (b"   ", "bad_body"),
        (b"[1]", "bad_body"),
        (b"null", "bad_body"),
        (b'"text"', "bad_body"),
        (body()[:-9], "bad_body"),
        (b"<!DOCTYPE html><html></html>", "html"),
        (b"\xff\xfe\x00", "bad_body"),
        (b"{}", "no_choices"),
        (b'{"choices": null}', "no_choices"),
        (b'{"choices": []}', "no_choices"),
        (b'{"choices": [null]}', "no_choices"),
        (b'{"choices": [{}]}', "no_choices"),
        (b'{"choices": [{"message": null}]}', "no_choices"),
        (b'{"error": {"message": "upstream", "code": 502}}', "http_502"),
        (b'{"error": "upstream"}', "http_500"),
        (body(None), "empty"),
        (body(""), "empty"),
        (body(" \n\t "), "empty"),
        (body(None, "tool_calls"), "empty"),
        (body("<think>only thought</think>\n"), "empty"),
        (body(finish="insufficient_system_resource"), "incomplete"),
        (body(None, reasoning="thought"), "empty"),
        (body("half", "error"), "incomplete"),
    ],
)
def test_read_completion_retries_what_is_no_answer(content: bytes, name: str) -> None:
    with pytest.raises(CallError) as caught:
        read_completion(content)
    assert caught.value.name == name
    assert caught.value.kind == "retry"


def test_read_completion_stops_on_an_error_in_a_success_body() -> None:
    with pytest.raises(CallError) as caught:
        read_completion(b'{"error": {"message": "no money", "code": 402}}')
    assert caught.value.kind == "stop"


def test_read_completion_error_holds_the_usage() -> None:
    with pytest.raises(CallError) as caught:
        read_completion(body(""))
    assert caught.value.usage == TokenUsage(prompt=8, completion=5)
    assert caught.value.model == "m"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (body("", "content_filter"), "content_filter"),
        (body("half a", "content_filter"), "content_filter"),
        (body(None, refusal="I cannot help with that"), "refused"),
    ],
)
def test_read_completion_rejects_unwanted_prompts(content: bytes, reason: str) -> None:
    with pytest.raises(CallError) as caught:
        read_completion(content)
    assert (caught.value.kind, caught.value.name) == ("rejected", reason)


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        (body(None, reasoning="thought"), "", "thought"),
        (body("<think>thought"), "", "thought"),
        (body("half", "insufficient_system_resource"), "half", None),
        (body("half", "network_error", reasoning="thought"), "half", "thought"),
        (body("half")[:-1] + b', "error": {"message": "upstream", "code": 502}}', "half", None),
        (body("half")[:-1] + b', "error": "upstream"}', "half", None),
        (body("half", "content_filter"), "half", None),
    ],
)
def test_read_completion_error_holds_an_answer_that_is_not_whole(
    content: bytes, text: str, reasoning: str | None
) -> None:
    with pytest.raises(CallError) as caught:
        read_completion(content)
    assert caught.value.answer == Completion(text, "incomplete", reasoning, "m")


def test_read_completion_error_says_whether_a_blank_reply_was_paid_for() -> None:
    with pytest.raises(CallError) as caught:
        read_completion(body(""))
    assert caught.value.answer == Completion("", "incomplete", None, "m")
    with pytest.raises(CallError) as caught:
        read_completion(body("").replace(b'"completion_tokens": 5', b'"completion_tokens": 0'))
    assert caught.value.answer is None


@pytest.mark.parametrize("finish", ["max_tokens", "MAX_TOKENS", "model_length"])
def test_read_completion_knows_a_truncated_answer_by_all_names(finish: str) -> None:
    assert read_completion(body("half an ans", finish))[0].finish_reason == "length"


@pytest.mark.parametrize("text", ["half an ans", "", "<think>half a thou"])
def test_read_completion_keeps_a_truncated_answer(text: str) -> None:
    answer, _ = read_completion(body(text, "length"))
    assert answer.finish_reason == "length"
    assert answer.text in (text, "")


@pytest.mark.parametrize(
    ("finish", "kept"), [("mystery", "mystery"), (None, "unknown"), (7, "unknown")]
)
def test_read_completion_keeps_an_unknown_finish_reason(finish: Any, kept: str) -> None:
    assert read_completion(body(finish=finish))[0].finish_reason == kept


def test_read_completion_joins_parts() -> None:
    parts = [{"type": "text", "text": "fo"}, {"type": "image"}, {"type": "text", "text": "ur"}]
    assert read_completion(body(parts))[0].text == "four"


@pytest.mark.parametrize(
    "more",
    [
        {"reasoning": "two and two"},
        {"reasoning_content": "two and two"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "two and two"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "two and two"}]},
    ],
)
def test_read_completion_finds_reasoning_under_all_names(more: dict[str, Any]) -> None:
    answer, _ = read_completion(body("four", **more))
    assert (answer.text, answer.reasoning) == ("four", "two and two")


def test_read_completion_separates_reasoning_in_the_text() -> None:
    answer, _ = read_completion(body("<think>hm</think>four"))
    assert (answer.text, answer.reasoning) == ("four", "hm")


def test_read_completion_accepts_half_a_surrogate_pair() -> None:
    content = body("XY").replace(b"XY", b"a\\ud800b\\u0000c")
    assert read_completion(content)[0].text == "a\ufffdb\ufffdc"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "error",
                    "code",
                    "usage",
                    "refusal",
                    "finish_reason",
                    "model",
                    "text",
                    "reasoning_details",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def outcome(content: bytes) -> Completion | CallError:
    try:
        return read_completion(content)[0]
    except CallError as fault:
        return fault


@given(JSON)
def test_read_completion_of_any_json_is_an_answer_or_an_error(value: Any) -> None:
    found = outcome(json.dumps(value).encode())
    if isinstance(found, CallError):
        assert found.name
    else:
        assert found.text.strip() or found.finish_reason == "length"


@given(st.binary(max_size=60))
def test_read_completion_of_any_bytes_is_an_answer_or_an_error(content: bytes) -> None:
    assert isinstance(outcome(content), CallError)
