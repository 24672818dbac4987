"""Messages in replies, in every form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.parsing.reply_message import ReplyMessage, find_message, joined_text


def reply(content: Any = "four", finish: Any = "stop", **message: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": content, **message}}
    return {"choices": [{**choice, "finish_reason": finish}]}


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


@pytest.mark.parametrize(
    ("body", "text", "reasoning"),
    [
        (reply(["fo", "ur"]), "four", ""),
        (reply({"type": "text", "text": "four"}), "four", ""),
        (reply([{"type": "text", "text": {"value": "four"}}]), "four", ""),
        (reply([{"type": "output_text", "text": "four"}]), "four", ""),
        (reply([THINKING, {"type": "text", "text": "four"}]), "four", "hm"),
        (reply([{"type": "reasoning", "text": "hm"}, "four"]), "four", "hm"),
        (reply([{"text": "hm", "thought": True}, {"text": "four"}]), "four", "hm"),
        (reply([{"type": "image_url", "image_url": "x"}, "four"]), "four", ""),
        (reply(None, reasoning={"content": "hm"}), "", "hm"),
        (reply(None, thinking_blocks=[{"type": "thinking", "thinking": "hm"}]), "", "hm"),
        (reply({"output": 4}), '{"output": 4}', ""),
        (reply(4), "4", ""),
        ({"choices": [{"text": "four", "finish_reason": "stop"}]}, "four", ""),
        ({"choices": {"message": {"content": "four"}}}, "four", ""),
        ({"choices": [{"delta": {"content": "four"}}]}, "four", ""),
        ({"message": {"content": "four", "thinking": "hm"}, "done_reason": "stop"}, "four", "hm"),
        ({"response": "four", "done": True}, "four", ""),
        ({"content": [{"type": "text", "text": "four"}], "stop_reason": "end_turn"}, "four", ""),
        ({"candidates": [{"content": {"parts": [{"text": "four"}]}}]}, "four", ""),
        (
            {
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "four"}]},
                ]
            },
            "four",
            "hm",
        ),
    ],
)
def test_find_message_reads_every_form(body: dict[str, Any], text: str, reasoning: str) -> None:
    found = find_message(body)
    assert found is not None
    assert (found.text, found.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("message", "finish", "text"),
    [
        ({"tool_calls": [{"function": {"arguments": '{"output": 4}'}}]}, "stop", '{"output": 4}'),
        ({"tool_calls": [{"function": {"arguments": {"output": 4}}}]}, None, '{"output": 4}'),
        ({"function_call": {"arguments": '{"output": 4}'}}, "function_call", '{"output": 4}'),
        ({"tool_calls": [{"function": {"arguments": ""}}]}, "tool_calls", ""),
    ],
)
def test_find_message_takes_the_arguments_of_a_tool_call(
    message: dict[str, Any], finish: str | None, text: str
) -> None:
    found = find_message(reply(None, finish, **message))
    assert found is not None
    assert found.text == text


def test_find_message_adds_arguments_to_a_text_only_where_the_model_ended_with_them() -> None:
    calls = {"tool_calls": [{"function": {"arguments": '{"output": 4}'}}]}
    ended, went_on = (
        find_message(reply("so", "tool_calls", **calls)),
        find_message(reply("so", "stop", **calls)),
    )
    assert ended is not None
    assert went_on is not None
    assert (ended.text, went_on.text) == ('so\n\n{"output": 4}', "so")


@pytest.mark.parametrize(
    ("body", "finish"),
    [
        (reply(finish=None), None),
        (reply(finish=7), None),
        ({"choices": [{"text": "x", "native_finish_reason": "MAX_TOKENS"}]}, "MAX_TOKENS"),
        ({"candidates": [{"content": {}, "finishReason": "MAX_TOKENS"}]}, "MAX_TOKENS"),
        (
            {"output": "x", "incomplete_details": {"reason": "max_output_tokens"}},
            "max_output_tokens",
        ),
        ({"output": "x", "status": "incomplete"}, "incomplete"),
    ],
)
def test_find_message_finds_the_finish_reason(body: dict[str, Any], finish: str | None) -> None:
    found = find_message(body)
    assert found is not None
    assert found.finish_reason == finish


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{}]}, {"error": "x"}])
def test_find_message_finds_none(body: dict[str, Any]) -> None:
    assert find_message(body) is None


@pytest.mark.parametrize(
    "body", [{"error": "x", **reply()}, {"choices": [{**reply()["choices"][0], "error": "x"}]}]
)
def test_find_message_reports_an_error_beside_it(body: dict[str, Any]) -> None:
    assert find_message(body) == ReplyMessage("four", finish_reason="stop", error="x")


def test_joined_text_is_bounded() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    assert joined_text(deep) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "text",
                    "type",
                    "tool_calls",
                    "function",
                    "output",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["choices", "message", "output", "candidates"]), JSON))
def test_find_message_of_any_json_gives_texts(body: dict[str, Any]) -> None:
    found = find_message(body)
    if found is not None:
        json.dumps([found.text + found.reasoning + found.refusal, found.finish_reason])
