"""What is answered to a prompt: recorded answers, or a text that names the prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

Answers = Callable[[list[dict[str, Any]]], str | None]


def canonical(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def prompt_digest(messages: Any) -> str:
    """Return the digest that a prompt has in a store."""
    return hashlib.sha256(canonical(["prompt", messages]).encode()).hexdigest()[:32]


def default_answer(messages: Any, chars: int) -> str:
    """Return a text of about `chars` characters that only this prompt gets."""
    mark = f"answer to {hashlib.sha256(canonical(messages).encode()).hexdigest()[:16]} "
    return (mark * (chars // len(mark) + 1))[: max(chars, len(mark))]


def answers_from(path: str) -> Answers:
    """Read recorded answers: `response` (or `output`) by `digest`, `messages` or `contains`."""
    by_digest: dict[str, str] = {}
    by_content: list[tuple[list[str], str]] = []
    with open(path, encoding="utf-8") as lines:
        for record in map(json.loads, filter(str.strip, lines)):
            text = record.get("response", record.get("output"))
            if "contains" in record:
                parts = record["contains"]
                by_content.append(([parts] if isinstance(parts, str) else parts, text))
            else:
                by_digest[record.get("digest") or prompt_digest(record["messages"])] = text

    def answer(messages: list[dict[str, Any]]) -> str | None:
        known = by_digest.get(prompt_digest(messages))
        if known is not None:
            return known
        whole = "\n".join(str(m.get("content")) for m in messages)
        matching = (t for parts, t in by_content if all(part in whole for part in parts))
        return next(matching, None)

    return answer
