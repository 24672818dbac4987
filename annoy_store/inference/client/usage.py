"""Token usage as providers report it; None where nothing was reported.

Reasoning tokens are part of the completion tokens, cached tokens part of the prompt tokens.
No tokenizer is loaded: before an answer, four characters count as one token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TokenUsage:
    """Token counts of one attempt."""

    prompt: int | None = None
    cached: int | None = None
    completion: int | None = None
    reasoning: int | None = None

    @property
    def total(self) -> int | None:
        """Return prompt plus completion tokens, or None if neither is known."""
        if self.prompt is None and self.completion is None:
            return None
        return (self.prompt or 0) + (self.completion or 0)


NO_USAGE = TokenUsage()


def parse_usage(usage: object) -> TokenUsage:
    """Parse the `usage` object of a completion.

    Args:
        usage: The object, with OpenAI's field names, also of its Responses API, or DeepSeek's `prompt_cache_hit_tokens`;
            anything else counts as not reported.

    Returns:
        The counts; a field is None if it is missing or not a count.
    """
    if not isinstance(usage, Mapping):
        return NO_USAGE
    cached = _detail(usage, "prompt_tokens_details", "cached_tokens")
    return TokenUsage(
        prompt=_count(usage.get("prompt_tokens", usage.get("input_tokens"))),
        cached=cached if cached is not None else _count(usage.get("prompt_cache_hit_tokens")),
        completion=_count(usage.get("completion_tokens", usage.get("output_tokens"))),
        reasoning=_detail(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def estimate_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Estimate the tokens of a prompt, at four characters a token."""
    return 1 + sum(len(m.get("content") or "") for m in messages) // 4


def _detail(usage: Mapping[str, Any], outer: str, inner: str) -> int | None:
    details = usage.get(outer)
    return _count(details.get(inner)) if isinstance(details, Mapping) else None


def _count(value: object) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return int(value) if whole and isinstance(value, int) else None
