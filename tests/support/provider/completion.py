"""Bodies of chat completions: good ones, and those that a fault spoils."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from tests.support.provider.answers import Answers, default_answer
from tests.support.provider.behaviour import Behaviour
from tests.support.provider.forms import FORMS

Messages = list[dict[str, Any]]
BLOCK_CHARS = 256
TOKENS_PER_BLOCK = 64


class Completions:
    """Builds the answers of a provider and counts their tokens, cached prefixes included."""

    def __init__(self, answers: Answers | None, counts: Counter[str]) -> None:
        self.answers = answers
        self._counts = counts
        self._cached_prefixes: set[int] = set()

    def cached_blocks(self, messages: Messages) -> int:
        """Return how many blocks at the beginning of a prompt older answers have cached."""
        known = (block in self._cached_prefixes for block in _prefix_blocks(messages))
        return sum(itertools.takewhile(bool, known))

    def build(
        self, body: dict[str, Any], behaviour: Behaviour, kind: str, cached_blocks: int = 0
    ) -> dict[str, Any]:
        """Return the completion of one request body, spoilt as `kind` says."""
        messages = body["messages"]
        text = self.answers(messages) if self.answers else None
        if text is None:
            text = default_answer(messages, behaviour.answer_chars)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if behaviour.reasoning == "reasoning_details":
            message["reasoning_details"] = [{"type": "reasoning.text", "text": "thought about it"}]
        elif behaviour.reasoning:
            message[behaviour.reasoning] = "thought about it"
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        _spoil(choice, message, kind, text)
        completion: dict[str, Any] = {
            "id": "chatcmpl-sim",
            "object": "chat.completion",
            "created": 1,
            "model": str(body.get("model")).partition("?")[0],
            "choices": [] if kind == "no_choices" else [choice],
        }
        if behaviour.usage:
            reasoning = bool(behaviour.reasoning)
            completion["usage"] = self._usage(messages, text, reasoning, cached_blocks)
        return completion

    def _usage(
        self, messages: Messages, text: str, reasoning: bool, cached_blocks: int
    ) -> dict[str, Any]:
        """Return the usage of one answer, at four characters a token, and add it to the counts."""
        self._cached_prefixes.update(_prefix_blocks(messages))
        whole = sum(len(str(m.get("content"))) for m in messages)
        prompt, thought = max(1, whole // 4), 4 if reasoning else 0
        completion = max(1, len(text) // 4) + thought
        cached = TOKENS_PER_BLOCK * cached_blocks
        self._counts["prompt_tokens"] += prompt
        self._counts["cached_tokens"] += cached
        self._counts["completion_tokens"] += completion
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }


def _prefix_blocks(messages: Messages) -> list[int]:
    """Return a prompt's prefixes of 256, 512, .. characters, hashed."""
    whole = "\x00".join(str(m.get("content")) for m in messages)
    ends = range(BLOCK_CHARS, len(whole) + 1, BLOCK_CHARS)
    return [hash(whole[:end]) for end in ends]


def _spoil(choice: dict[str, Any], message: dict[str, Any], kind: str, text: str) -> None:
    """Turn a good choice into one of `kind`."""
    if kind == "empty":
        message["content"] = ""
    elif kind == "blank":
        message["content"] = " \n\n  "
    elif kind == "null":
        message["content"] = None
    elif kind == "length":
        message["content"], choice["finish_reason"] = text[: len(text) // 2], "length"
    elif kind == "filter":
        message["content"], choice["finish_reason"] = "", "content_filter"
    elif kind == "resource":
        choice["finish_reason"] = "insufficient_system_resource"
    elif kind == "refusal":
        message["content"], message["refusal"] = None, "I can't help with that."
    elif kind == "think":
        message["content"] = f"<think>\nlet me see\n</think>\n\n{text}"
    elif kind == "odd_finish":
        choice["finish_reason"] = "mystery"
    elif kind in FORMS:
        FORMS[kind](choice, message, text)
