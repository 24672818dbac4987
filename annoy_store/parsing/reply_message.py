"""The message in a reply: its text, its reasoning and its finish reason, in whichever form they come.

Decisions
- A reply that was paid for is read in every form that is known, not only in the one that was asked
  for: `choices[0].message`, `choices[0].text` (legacy completions), a message of Ollama, Anthropic or
  Gemini, the `output` of the Responses API.
- Content is a text, a part, or a list of texts and parts. Parts of reasoning are never part of the
  text. Content that is another JSON value is the answer as JSON.
- The arguments of a tool call are the answer where there is no text, or where the model ended with
  the call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annoy_store.parsing.finish_reasons import finish_kind

_REASONING_PARTS = {"reasoning", "thinking", "thought", "reasoning.text", "reasoning.summary"}
_REASONING_FIELDS = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "reasoning_details",
    "thinking_blocks",
)
_TEXT_FIELDS = ("text", "content", "summary")
_TYPED_FIELDS = (*_TEXT_FIELDS, "output_text", "value", "thinking", "refusal")
_MAX_DEPTH = 8


@dataclass(frozen=True)
class ReplyMessage:
    """What a reply says.

    Attributes:
        text: The answer; empty if there is none.
        reasoning: The reasoning that came apart from it.
        finish_reason: Why it ended, as the provider says it; None if it does not.
        refusal: The sentence with which the model declined; empty if it did not.
        error: The error beside the message, None if there is none.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    refusal: str = ""
    error: object = None


def find_message(body: Mapping[str, Any]) -> ReplyMessage | None:
    """Return the message of a reply; None if no message is in it.

    Args:
        body: The decoded body.
    """
    found = _first_choice(body) or _other_form(body)
    if found is None:
        return None
    message, finish, error = found
    finish_reason = finish if isinstance(finish, str) and finish else None
    content = message.get("content")
    texts, thoughts = _split_parts(content)
    calls = _tool_arguments(message)
    if calls and (not "".join(texts).strip() or finish_kind(finish_reason) == "tool"):
        texts = [*texts, *(["\n\n"] if "".join(texts).strip() else []), "\n".join(calls)]
    fields = next((t for name in _REASONING_FIELDS if (t := joined_text(message.get(name)))), "")
    refusal = message.get("refusal")
    return ReplyMessage(
        "".join(texts),
        fields or "\n".join(thoughts),
        finish_reason,
        refusal if isinstance(refusal, str) and refusal.strip() else "",
        error or body.get("error") or None,
    )


Found = tuple[Mapping[str, Any], object, object]  # message, finish reason, error


def _first_choice(body: Mapping[str, Any]) -> Found | None:
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else choices
    if not isinstance(choice, Mapping):
        return None
    names = ("finish_reason", "native_finish_reason", "stop_reason", "finishReason")
    finish = next((choice[name] for name in names if isinstance(choice.get(name), str)), None)
    for name in ("message", "delta", "text"):
        value = choice.get(name)
        if isinstance(value, Mapping):
            return value, finish, choice.get("error")
        if name == "text" and isinstance(value, str | list):
            return {**choice, "content": value}, finish, choice.get("error")
    return None


def _other_form(body: Mapping[str, Any]) -> Found | None:
    """Find the message in a reply that is not one of chat completions."""
    candidates = body.get("candidates")
    if isinstance(candidates, list) and candidates and isinstance(candidates[0], Mapping):
        content = candidates[0].get("content")
        parts = content.get("parts") if isinstance(content, Mapping) else content
        return {"content": parts}, candidates[0].get("finishReason"), None
    if isinstance(body.get("output"), str | list):
        details = body.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return {"content": body["output"]}, reason or body.get("status"), None
    finish = body.get("done_reason") or body.get("stop_reason") or body.get("finish_reason")
    if isinstance(body.get("message"), Mapping):
        return body["message"], finish, None
    for name in ("content", "response", "output_text", "generated_text"):
        if isinstance(body.get(name), str | list):
            return {"content": body[name]}, finish, None
    return None


def _split_parts(content: object) -> tuple[list[str], list[str]]:
    """Return the texts of a content, and the texts of its parts that are reasoning."""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        if _is_reasoning(part):
            thoughts.append(joined_text(part))
        elif part is not None:
            texts.append(joined_text(part) or _as_json(part))
    return texts, [thought for thought in thoughts if thought]


def _is_reasoning(part: object) -> bool:
    if not isinstance(part, Mapping):
        return False
    return str(part.get("type")).lower() in _REASONING_PARTS or part.get("thought") is True


def joined_text(value: object, depth: int = 0) -> str:
    """Return the text in a content: a text, a part, or a list of both; '' if there is none."""
    if isinstance(value, str):
        return value
    if depth > _MAX_DEPTH:
        return ""
    if isinstance(value, list):
        separator = "\n" if any(_is_reasoning(v) for v in value) else ""
        return separator.join(t for t in (joined_text(v, depth + 1) for v in value) if t)
    if isinstance(value, Mapping):
        names = _TYPED_FIELDS if depth or "type" in value else _TEXT_FIELDS
        texts = (joined_text(value.get(name), depth + 1) for name in names)
        return next((text for text in texts if text), "")
    return ""


def _as_json(part: object) -> str:
    """Return content that is a JSON value instead of a text; a part of another type holds none."""
    if (
        isinstance(part, list)
        or part in (None, "", {})
        or (isinstance(part, Mapping) and "type" in part)
    ):
        return ""
    try:
        return json.dumps(part, ensure_ascii=False)
    except RecursionError:
        return ""


def _tool_arguments(message: Mapping[str, Any]) -> list[str]:
    """Return the arguments of the functions that a message calls, as JSON."""
    calls = message.get("tool_calls")
    functions: Iterable[object] = [
        call.get("function", call) if isinstance(call, Mapping) else None
        for call in (calls if isinstance(calls, list) else [])
    ]
    found = []
    for function in (*functions, message.get("function_call")):
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        text = arguments if isinstance(arguments, str) else _as_json(arguments)
        if text.strip():
            found.append(text)
    return found
