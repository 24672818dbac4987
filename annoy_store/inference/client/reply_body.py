"""Decoding of the body of a reply: one JSON object, or the events of a stream.

Decisions
- A body is judged by its content and not by its headers: proxies send HTML with status 200, and
  some servers stream although the request says `"stream": false`, or append `data: [DONE]` to a
  plain object.
- The events of a stream are merged into the object that would have come without streaming. A stream
  that ends without a finish reason and without `[DONE]` was cut off: it gets the finish reason
  `incomplete`.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from annoy_store.inference.client.errors import CallError
from annoy_store.parsing.finish_reasons import INCOMPLETE
from annoy_store.parsing.reply_message import joined_text

_LINE_END = re.compile(r"\r\n|\n|\r")
_OTHER_FIELDS = (":", "event:", "id:", "retry:")  # a line that begins with `:` is a comment
_BETWEEN = re.compile(r"\s*(?:data:\s*)?")
_END = "[DONE]"
_PIECES = ("content", "reasoning_content", "reasoning", "thinking", "refusal", "reasoning_details")
_DECODER = json.JSONDecoder()


def decode_reply(content: bytes) -> Mapping[str, Any]:
    """Decode the body of a reply with a success status.

    Args:
        content: The body.

    Returns:
        The object that it holds.

    Raises:
        CallError: It holds no JSON object.
    """
    try:
        value = orjson.loads(content)
    except ValueError:
        value = _decode_leniently(content)
    if isinstance(value, list) and value and all(isinstance(event, dict) for event in value):
        value = merge_events(value, is_ended=True)
    if not isinstance(value, dict):
        raise CallError("retry", "bad_body", f"not an object: {_excerpt(content)}")
    return value


def merge_events(events: Iterable[Mapping[str, Any]], *, is_ended: bool) -> dict[str, Any]:
    """Merge the events of a stream into one reply.

    Args:
        events: The decoded events in order.
        is_ended: Whether the stream said that it was over.

    Returns:
        The reply: a single event as it is, else an object with one choice.
    """
    found = list(events)
    if len(found) == 1 and not _is_delta(found[0]):
        return dict(found[0])
    whole = [
        e for e in found if not _is_delta(e) and isinstance(_choice(e).get("message"), Mapping)
    ]
    if whole and not any(map(_is_delta, found)):
        return dict(whole[-1])
    message: dict[str, Any] = {}
    reply: dict[str, Any] = {}
    choice: dict[str, Any] = {"message": message}
    for event in found:
        reply |= {k: v for k, v in event.items() if k in ("model", "usage", "error") and v}
        part = _choice(event)
        choice |= {k: part[k] for k in ("finish_reason", "error") if part.get(k)}
        choice |= {"finish_reason": event["done_reason"]} if event.get("done_reason") else {}
        _add_delta(message, _delta(event, part))
    if not (is_ended or choice.get("finish_reason") or reply.get("error")):
        choice["finish_reason"] = INCOMPLETE
    return {**reply, "choices": [choice]} if message or choice.keys() - {"message"} else reply


def _decode_leniently(content: bytes) -> Any:
    """Decode what is JSON to Python but not to orjson (half a surrogate pair, NaN), or a stream."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        text = content.decode("utf-8-sig", "replace").strip()
    events, is_ended = _stream_events(text)
    if events:
        return merge_events(events, is_ended=is_ended)
    name = "html" if text[:1] == "<" else "bad_body"
    raise CallError("retry", name, f"not JSON: {_excerpt(content)}") from None


def _stream_events(text: str) -> tuple[list[dict[str, Any]], bool]:
    """Return the objects in a stream of events, and whether it said that it was over."""
    lines = (line.strip() for line in _LINE_END.split(text))
    kept = (line.removeprefix("data:") for line in lines if not line.startswith(_OTHER_FIELDS))
    rest = "\n".join(kept)
    events: list[dict[str, Any]] = []
    at = _next_value(rest, 0)
    while at < len(rest) and not rest.startswith(_END, at):
        try:
            value, end = _DECODER.raw_decode(rest, at)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            break
        events.append(value)
        at = _next_value(rest, end)
    is_done = any(event.get("done") is True for event in events)
    return events, is_done or rest.startswith(_END, at)


def _next_value(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _choice(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first choice of an event; its index is 0, as `n` is never asked for."""
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, Mapping) else {}


def _is_delta(event: Mapping[str, Any]) -> bool:
    """Return whether an event holds a piece of a message, and not a whole one."""
    choice = _choice(event)
    if isinstance(choice.get("delta"), Mapping) or "done" in event:
        return True
    return event.get("object") == "chat.completion.chunk" or (
        isinstance(choice.get("text"), str) and "message" not in choice
    )


def _delta(event: Mapping[str, Any], choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the piece of a message that an event holds, in whichever form."""
    for piece in (choice.get("delta"), choice.get("message"), event.get("message")):
        if isinstance(piece, Mapping):
            return piece
    text = choice.get("text", event.get("response"))
    return {"content": text} if isinstance(text, str) else {}


def _add_delta(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name in _PIECES:
        piece, known = delta.get(name), message.get(name)
        if isinstance(piece, str) and not isinstance(known, list):
            message[name] = (known or "") + piece
        elif isinstance(piece, str | list):
            parts = [known] if isinstance(known, str) and known else list(known or ())
            for part in [piece] if isinstance(piece, str) else piece:
                _add_part(parts, part)
            message[name] = parts
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, Mapping):
            _add_tool_call(message.setdefault("tool_calls", []), call)


def _add_part(parts: list[Any], part: object) -> None:
    """Append a part; one of the same type as the last is its continuation."""
    last = parts[-1] if parts else None
    if _type(part) and _type(part) == _type(last):
        parts[-1] = {"type": _type(part), "text": joined_text(last) + joined_text(part)}
    else:
        parts.append(part)


def _type(part: object) -> object:
    return part.get("type") if isinstance(part, Mapping) else None


def _add_tool_call(calls: list[dict[str, Any]], piece: Mapping[str, Any]) -> None:
    """Append a piece of a tool call to the call that it belongs to."""
    function = piece.get("function")
    text = function.get("arguments") if isinstance(function, Mapping) else None
    same = next((c for c in calls if c["index"] == piece.get("index", len(calls))), None)
    if same is None:
        same = {"index": piece.get("index", len(calls)), "function": {"arguments": ""}}
        calls.append(same)
    known = same["function"]["arguments"]
    joins = isinstance(text, str) and isinstance(known, str)
    same["function"]["arguments"] = known + text if joins else text or known


def _excerpt(content: bytes) -> str:
    return content[:120].decode("utf-8", "replace")
