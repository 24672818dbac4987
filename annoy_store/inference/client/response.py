"""Strict parsing of chat completion bodies: what is not a whole completion is an error.

Decisions
- A body is judged by its content alone, because proxies send HTML with status 200.
- `length` without text is a completion: it was paid for, and a retry would end the same way.
- An unknown finish reason, with text, is accepted and kept.
- Reasoning is kept apart from the text, under whichever name it comes: `reasoning_content`
  (DeepSeek), `reasoning` (vLLM, OpenRouter, Ollama), `reasoning_details`, or `<think>` in the text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from annoy_store.hashing import clean_text
from annoy_store.inference.client.errors import CallError, error_from_body
from annoy_store.inference.client.usage import TokenUsage, parse_usage
from annoy_store.interfaces import Completion
from annoy_store.parsing.think_blocks import split_reasoning


def read_completion(content: bytes) -> tuple[Completion, TokenUsage]:
    """Parse the body of a response with a success status.

    Args:
        content: The body, as bytes of JSON.

    Returns:
        The completion, and the tokens that it used.

    Raises:
        CallError: The body is not JSON or holds no whole completion.
    """
    return parse_completion(_decode(content))


def parse_completion(body: Mapping[str, Any]) -> tuple[Completion, TokenUsage]:
    """Parse a decoded chat completion object.

    Args:
        body: The object, as the Chat Completions API of OpenAI defines it.

    Returns:
        The completion, and the tokens that it used.

    Raises:
        CallError: There is no whole completion; the error holds the usage and the model's name.
    """
    usage = parse_usage(body.get("usage"))
    model = body.get("model")
    try:
        completion = _parse_choice(body)
    except CallError as error:
        error.usage, error.model = usage, model if isinstance(model, str) else None
        raise
    return completion, usage


def _decode(content: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(content)
    except ValueError:
        value = _decode_leniently(content)
    if not isinstance(value, dict):
        raise CallError("retry", "bad_body", f"not an object: {_excerpt(content)}")
    return value


def _decode_leniently(content: bytes) -> Any:
    """Decode what is JSON to Python but not to orjson: half of a surrogate pair, NaN."""
    try:
        return json.loads(content)
    except ValueError:
        name = "html" if content.lstrip()[:1] == b"<" else "bad_body"
        raise CallError("retry", name, f"not JSON: {_excerpt(content)}") from None


def _excerpt(content: bytes) -> str:
    return content[:120].decode("utf-8", "replace")


def _parse_choice(body: Mapping[str, Any]) -> Completion:
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise error_from_body(body)
    finish = choice.get("finish_reason")
    if isinstance(message.get("refusal"), str) and message["refusal"].strip():
        raise CallError("rejected", "refused", message["refusal"])
    if finish == "content_filter":
        raise CallError("rejected", "content_filter", "the provider withheld the answer")
    if finish == "insufficient_system_resource":
        raise CallError("retry", "no_resource", "the provider broke off")
    return _parse_message(message, finish if isinstance(finish, str) else "unknown", body)


def _parse_message(message: Mapping[str, Any], finish: str, body: Mapping[str, Any]) -> Completion:
    text, think_block = split_reasoning(_text(message.get("content")))
    if not text.strip() and finish != "length":
        raise CallError("retry", "empty", f"finish_reason {finish}")
    model = body.get("model")
    reasoning = _reasoning(message) or think_block
    return Completion(
        text=clean_text(text),
        finish_reason=clean_text(finish)[:40],
        reasoning=clean_text(reasoning) if reasoning else None,
        model=clean_text(model) if isinstance(model, str) else None,
    )


def _text(content: object) -> str:
    """Return the text of a message's content: a string, null, or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(p.get("text") or "") for p in parts if isinstance(p, dict))


def _reasoning(message: Mapping[str, Any]) -> str | None:
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name].strip():
            return str(message[name])
    details = message.get("reasoning_details")
    parts = details if isinstance(details, list) else []
    texts = [p.get("text") or p.get("summary") for p in parts if isinstance(p, dict)]
    return "\n".join(t for t in texts if isinstance(t, str)) or None
