"""Forms in which providers send what was paid for, other than a text in `message.content`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]


def _content(choice: Object, message: Object, content: Any, finish: str = "stop") -> None:
    message["content"], choice["finish_reason"] = content, finish


def _tool_call(choice: Object, message: Object, text: str) -> None:
    function = {"name": "answer", "arguments": text}
    message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    _content(choice, message, None, "tool_calls")


def _text_field(choice: Object, message: Object, text: str) -> None:
    del choice["message"]
    choice["text"] = text


def _reasoning_only(choice: Object, message: Object, text: str) -> None:
    message["reasoning_content"] = text
    _content(choice, message, None)


def _error_beside(choice: Object, message: Object, text: str) -> None:
    choice["error"] = {"code": 502, "message": "upstream closed"}
    _content(choice, message, text[: len(text) // 2], "error")


FORMS: dict[str, Callable[[Object, Object, str], None]] = {
    "parts": lambda c, m, text: _content(c, m, [{"type": "text", "text": text}]),
    "one_part": lambda c, m, text: _content(c, m, {"type": "text", "text": text}),
    "strings": lambda c, m, text: _content(c, m, [text[:5], text[5:]]),
    "think_open": lambda c, m, text: _content(c, m, f"<think>{text}"),
    "max_tokens": lambda c, m, text: _content(c, m, text[: len(text) // 2], "MAX_TOKENS"),
    "tool_call": _tool_call,
    "text_field": _text_field,
    "reasoning_only": _reasoning_only,
    "error_beside": _error_beside,
}


def _events(completion: Object) -> list[bytes]:
    """Return the completion as the events of a stream, with its text in two pieces."""
    choice = completion["choices"][0]
    text = choice["message"]["content"]
    deltas: list[Object] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in (text[:5], text[5:])]
    chunk = {k: v for k, v in completion.items() if k not in ("choices", "usage")}
    chunk["object"] = "chat.completion.chunk"
    chunks = [{**chunk, "choices": [{"index": 0, "delta": d}]} for d in deltas]
    last = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    chunks += [{**chunk, "choices": [last]}]
    chunks += [{**chunk, "choices": [], "usage": completion.get("usage")}]
    return [b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks]


STREAMS: dict[str, Callable[[Object], bytes]] = {
    "stream": lambda c: b": processing\n\n" + b"".join(_events(c)) + b"data: [DONE]\n\n",
    "stream_cut": lambda c: b"".join(_events(c)[:3])[:-9],
    "done_after": lambda c: json.dumps(c).encode() + b"\n\ndata: [DONE]\n\n",
}
