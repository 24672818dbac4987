"""Decoding of bodies: objects, streams, and objects that end like a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.reply_body import decode_reply
from annoy_store.parsing.reply_message import ReplyMessage, find_message

WHOLE = {"choices": [{"message": {"content": "four"}, "finish_reason": "stop"}]}
USAGE = {"prompt_tokens": 8, "completion_tokens": 5}


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def stream(*events: Any, end: str = "data: [DONE]\n\n") -> bytes:
    return "".join(f"data: {json.dumps(e)}\n\n" for e in events).encode() + end.encode()


def message(content: bytes) -> ReplyMessage | None:
    return find_message(decode_reply(content))


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(WHOLE).encode() + b"\n\ndata: [DONE]\n\n",
        json.dumps(WHOLE).encode() + b"data: [DONE]",
        json.dumps(WHOLE, indent=1).encode() + b"\r\n\r\ndata: [DONE]\r\n",
        b"data: " + json.dumps(WHOLE).encode() + b"\n\n",
        b"data:" + json.dumps(WHOLE).encode() + b"\n\ndata:[DONE]",
        b": waiting\n\n: waiting\n\n" + json.dumps(WHOLE).encode(),
        b"\xef\xbb\xbf" + json.dumps(WHOLE).encode(),
        b"event: message\nid: 1\nretry: 5\ndata: " + json.dumps(WHOLE).encode() + b"\n\n",
        json.dumps([WHOLE]).encode(),
    ],
)
def test_decode_reply_reads_an_object_whatever_frames_it(content: bytes) -> None:
    assert decode_reply(content) == WHOLE


def test_decode_reply_merges_the_events_of_a_stream() -> None:
    content = stream(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "h"}),
        chunk({"reasoning_content": "m"}),
        chunk({"content": "fo"}),
        chunk({"content": "ur\u2028"}),
        chunk({}, "stop"),
        {"choices": [], "usage": USAGE},
    )
    found = decode_reply(content)
    assert (found["model"], found["usage"]) == ("m", USAGE)
    assert find_message(found) == ReplyMessage("four\u2028", "hm", "stop")


def test_decode_reply_merges_parts_and_tool_calls() -> None:
    def thought(text: str) -> dict[str, Any]:
        return {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]}

    calls = [
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": piece}}]}
        for piece in ('{"out', 'put": 4}')
    ]
    deltas = [thought("h"), thought("m"), {"content": "so"}, *calls]
    found = message(stream(*map(chunk, deltas), chunk({}, "tool_calls")))
    assert found == ReplyMessage('so\n\n{"output": 4}', "hm", "tool_calls")


@pytest.mark.parametrize(
    "events",
    [
        [{"choices": [{"text": "fo"}]}, {"choices": [{"text": "ur", "finish_reason": "stop"}]}],
        [
            {"message": {"content": "fo"}, "done": False},
            {"message": {"content": "ur"}, "done": True, "done_reason": "stop"},
        ],
        [
            {"response": "fo", "done": False},
            {"response": "ur", "done": True, "done_reason": "stop"},
        ],
    ],
)
def test_decode_reply_merges_streams_of_other_forms(events: list[Any]) -> None:
    assert message(stream(*events, end="")) == ReplyMessage("four", finish_reason="stop")
    lines = "\n".join(map(json.dumps, events)).encode()
    assert message(lines) == ReplyMessage("four", finish_reason="stop")


@pytest.mark.parametrize(
    ("end", "finish"), [("", "incomplete"), ("data: {", "incomplete"), ("data: [DONE]", None)]
)
def test_decode_reply_marks_a_stream_that_was_cut_off(end: str, finish: str | None) -> None:
    found = message(stream(chunk({"content": "four"}), end=end))
    assert found == ReplyMessage("four", finish_reason=finish)


def test_decode_reply_keeps_the_error_of_a_stream() -> None:
    error = {"error": {"code": 502, "message": "upstream"}}
    found = decode_reply(stream(chunk({"content": "fo"}), error, end=""))
    assert found["error"] == error["error"]
    assert decode_reply(stream(error, end="")) == error


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "bad_body"),
        (b"data: [DONE]", "bad_body"),
        (b"data: 7\n\n", "bad_body"),
        (b": waiting\n\n", "bad_body"),
        (b"[1]", "bad_body"),
        (b"[" * 100_000, "bad_body"),
        (b'{"a":' * 100_000, "bad_body"),
        (b"\n<html>", "html"),
    ],
)
def test_decode_reply_refuses_what_holds_no_object(content: bytes, name: str) -> None:
    with pytest.raises(CallError) as caught:
        decode_reply(content)
    assert (caught.value.kind, caught.value.name) == ("retry", name)


@given(st.lists(st.text(max_size=6), min_size=1, max_size=5))
def test_decode_reply_of_a_stream_joins_any_texts(texts: list[str]) -> None:
    content = stream(*(chunk({"content": text}) for text in texts), chunk({}, "stop"))
    assert message(content) == ReplyMessage("".join(texts), finish_reason="stop")
