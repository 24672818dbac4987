"""Strict parsing of chat completions: what is not a whole completion is an error.

Decisions
- `length` without text is a completion: it was paid for, and a retry would end the same way.
- An unknown finish reason, with text, is accepted and kept.
- Reasoning is kept apart from the text, under whichever name it comes: `reasoning_content`
  (DeepSeek), `reasoning` (vLLM, OpenRouter, Ollama), `reasoning_details`, parts of the content
  (Mistral, Anthropic), or `<think>` in the text.
- An answer that was paid for and is not whole (the provider broke off, or there is reasoning and no
  text) is an error that holds it: the call is tried once more, and the answer kept either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from annoy_store.hashing import clean_text
from annoy_store.inference.client.errors import CallError, error_from_body
from annoy_store.inference.client.reply_body import decode_reply
from annoy_store.inference.client.usage import TokenUsage, parse_usage
from annoy_store.interfaces import Completion
from annoy_store.parsing.finish_reasons import INCOMPLETE, finish_kind, stored_finish_reason
from annoy_store.parsing.reply_message import ReplyMessage, find_message
from annoy_store.parsing.think_blocks import split_reasoning

OK = 200  # the status of a reply that is no error, whether or not it holds an answer


def read_completion(content: bytes) -> tuple[Completion, TokenUsage]:
    """Parse the body of a response with a success status.

    Args:
        content: The body, as bytes of JSON.

    Returns:
        The completion, and the tokens that it used.

    Raises:
        CallError: The body is not JSON or holds no whole completion.
    """
    try:
        body = decode_reply(content)
    except CallError as error:
        error.status = OK
        raise
    return parse_completion(body)


def parse_completion(body: Mapping[str, Any]) -> tuple[Completion, TokenUsage]:
    """Parse a decoded chat completion object.

    Args:
        body: The object, as the Chat Completions API of OpenAI defines it.

    Returns:
        The completion, and the tokens that it used.

    Raises:
        CallError: There is no whole completion; the error holds the usage, the model's name, and
            the answer that was paid for nevertheless.
    """
    usage = parse_usage(body.get("usage"))
    name = body.get("model")
    model = clean_text(name) if isinstance(name, str) else None
    try:
        message = find_message(body)
        if message is None:
            raise error_from_body(body)
        completion = _read_message(message, model)
    except CallError as error:
        error.usage, error.model = usage, model
        error.status = error.status or OK
        if error.answer is None and error.kind == "retry" and usage.completion:
            error.answer = Completion("", INCOMPLETE, None, model)
        raise
    return completion, usage


def _read_message(message: ReplyMessage, model: str | None) -> Completion:
    """Return the completion, or raise a CallError that holds what there is of it."""
    text, think_block = split_reasoning(message.text)
    reasoning = message.reasoning or think_block
    answer = Completion(
        text=clean_text(text),
        finish_reason=stored_finish_reason(message.finish_reason),
        reasoning=clean_text(reasoning) if reasoning else None,
        model=model,
    )
    kind = finish_kind(message.finish_reason)
    if message.refusal:
        raise CallError("rejected", "refused", message.refusal)
    if kind == "filtered":
        error = CallError("rejected", "content_filter", "the provider withheld the answer")
        raise _holding(answer, error)
    if message.error is not None:
        raise _holding(answer, _error_beside(message.error, has_text=bool(text.strip())))
    if kind == "broken":
        raise _holding(
            answer, CallError("retry", INCOMPLETE, f"finish_reason {message.finish_reason}")
        )
    if not text.strip() and kind != "length":
        raise _holding(
            answer, CallError("retry", "empty", f"finish_reason {message.finish_reason}")
        )
    return answer


def _holding(answer: Completion, error: CallError) -> CallError:
    """Add the answer to the error, if it says anything."""
    if answer.says_anything:
        error.answer = replace(answer, finish_reason=INCOMPLETE)
    return error


def _error_beside(error: object, *, has_text: bool) -> CallError:
    """Return the error of a reply that has a message too: one with text was broken off."""
    found = error_from_body({"error": error})
    if not has_text:
        return found
    if found.name == "content_filter":
        return CallError("rejected", "content_filter", found.message)
    return CallError("retry", INCOMPLETE, found.reason)
