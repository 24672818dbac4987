"""What a finish reason means, under whichever name a provider gives it.

Decisions
- Names are compared by the letters that they hold: `MAX_TOKENS`, `maxTokens` and
  `FinishReason.MAX_TOKENS` are one.
- A name that is not known says nothing: an answer with it counts as whole, and the name is kept.
- Stored are `length` (the limit of the answer's length was reached), `incomplete` (the provider
  broke off) and otherwise the provider's own word.

Sources: the API references of OpenAI (`finish_reason`, `incomplete_details`), Anthropic
(`stop_reason`), Mistral (`model_length`), Gemini (`FinishReason`), Cohere, Bedrock, Z.ai, DeepSeek,
Ollama (`done_reason`), vLLM and OpenRouter.
"""

from __future__ import annotations

import re
from typing import Literal

from annoy_store.hashing import clean_text

FinishKind = Literal["whole", "length", "filtered", "tool", "broken", "unknown"]

LENGTH, INCOMPLETE = "length", "incomplete"
CUT_OFF = (LENGTH, INCOMPLETE)  # the stored finish reasons of answers that are not whole
_MAX_CHARS = 40
_PREFIX = re.compile(r"^(?:native)?(?:finish|stop|done)reason")
_PATTERNS: tuple[tuple[FinishKind, re.Pattern[str]], ...] = (
    (
        "filtered",
        re.compile(
            r"filter|safety|moderat|guardrail|recitation|blocklist|blocked|prohibited|spii|"
            r"refus|sensitive|toxic|censor|violation|^language$"
        ),
    ),
    (
        "length",
        re.compile(r"length|max.*tokens?|tokens?limit|maxoutput|contextwindow|truncat|^limit"),
    ),
    ("tool", re.compile(r"^(?:tool|function)|malformedfunction|unexpectedtool")),
    (
        "broken",
        re.compile(
            r"error|abort|cancel|interrupt|incomplete|insufficient|timeout|timedout|fail|pause|"
            r"preempt|disconnect|overload|unavailable|deadline|^other$|^(?:un)?load$"
        ),
    ),
    ("whole", re.compile(r"^(?:stop|end|eos|complete|done|finish|normal|success)")),
)


def finish_kind(reason: object) -> FinishKind:
    """Return what a finish reason says about the text that it comes with.

    Args:
        reason: The finish reason of a reply or of a file; anything but a text is `unknown`.

    Returns:
        `whole`, `length` (cut off by the limit of its length), `filtered` (withheld), `tool` (the
        model called a function), `broken` (the provider did not finish it), or `unknown`.
    """
    if not isinstance(reason, str):
        return "unknown"
    letters = _PREFIX.sub("", re.sub(r"[^a-z]", "", reason.lower()))
    return next((kind for kind, pattern in _PATTERNS if pattern.search(letters)), "unknown")


def stored_finish_reason(reason: object) -> str:
    """Return the finish reason to store with a text that came with `reason`."""
    name = clean_text(reason)[:_MAX_CHARS].strip() if isinstance(reason, str) else ""
    names: dict[FinishKind, str] = {"length": LENGTH, "broken": INCOMPLETE}
    return names.get(finish_kind(name), name or "unknown")


def is_cut_off(finish_reason: str) -> bool:
    """Return whether a stored answer is not whole, also one stored under a provider's own word."""
    return finish_reason in CUT_OFF or finish_kind(finish_reason) in ("length", "broken")
