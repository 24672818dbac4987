"""What an answer used, as providers tell it; None where nobody told.

Reasoning tokens are inside the completion tokens, cached tokens inside the prompt tokens.
No tokenizer is loaded: before an answer four characters count as one token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TokenUsage:
    """Counts of one try."""

    prompt: int | None = None
    cached: int | None = None
    completion: int | None = None
    reasoning: int | None = None

    @property
    def total(self) -> int | None:
        """Return prompt plus completion, or None if neither is known."""
        if self.prompt is None and self.completion is None:
            return None
        return (self.prompt or 0) + (self.completion or 0)


NO_USAGE = TokenUsage()


def parse_usage(usage: object) -> TokenUsage:
    """Read the `usage` of an answer: OpenAI's names, and DeepSeek's for cache hits."""
    if not isinstance(usage, Mapping):
        return NO_USAGE
    cached = _detail(usage, "prompt_tokens_details", "cached_tokens")
    return TokenUsage(
        prompt=_count(usage.get("prompt_tokens")),
        cached=cached if cached is not None else _count(usage.get("prompt_cache_hit_tokens")),
        completion=_count(usage.get("completion_tokens")),
        reasoning=_detail(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def estimate_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Return about how many tokens a prompt has."""
    return 1 + sum(len(m.get("content") or "") for m in messages) // 4


def _detail(usage: Mapping[str, Any], outer: str, inner: str) -> int | None:
    details = usage.get(outer)
    return _count(details.get(inner)) if isinstance(details, Mapping) else None


def _count(value: object) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return int(value) if whole and isinstance(value, int) else None
