"""A teacher (a model, or a program that answers like one) as the other packages see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class TeacherIdentity:
    """Which model answers; equal identities are one row of `teachers`.

    Attributes:
        backend: name of the backend, e.g. openai.
        model: model name as the endpoint knows it.
        base_url: the endpoint; empty for a backend without one.
        parameters: sampling parameters. Never a key.
    """

    backend: str
    model: str
    base_url: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One call as a teacher sees it.

    Attributes:
        call_id: id of the row in `calls`.
        kind: kind of the turn that asks.
        messages: chat messages with `role` and `content`.
        seed: sampling seed, another one per sample number.
        sample_no: number of the answer to the same prompt, from 0.
    """

    call_id: int
    kind: str
    messages: Sequence[Mapping[str, str]]
    seed: int
    sample_no: int = 0


@dataclass(frozen=True)
class Completion:
    """The answer of a teacher.

    Attributes:
        text: the answer.
        finish_reason: why it ended; `length` marks a truncated answer.
        reasoning: the reasoning that the endpoint returned apart from the answer.
        model: model name in the response, if it is there.
    """

    text: str
    finish_reason: str = "stop"
    reasoning: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One HTTP try of a call, as in the table `attempts`; token counts are None if unknown.

    Attributes:
        status: ok, retry, limited, failed or stopped.
        started_at: UTC, as `utc_now` writes it.
        latency_ms: milliseconds until the answer was complete.
        error_class: class of the error, a word that can be counted.
        error_message: the error in words.
        http_status: status code of the response.
        prompt_tokens: billed prompt tokens, the cached ones included.
        cached_tokens: prompt tokens that the provider had cached.
        completion_tokens: billed answer tokens, reasoning included.
        reasoning_tokens: those of the answer tokens that are reasoning.
        model: model name in the response.
    """

    status: str
    started_at: str
    latency_ms: float
    error_class: str | None = None
    error_message: str | None = None
    http_status: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    model: str | None = None


@dataclass(frozen=True)
class CallResult:
    """How one call ended.

    Attributes:
        status: `answered`, `rejected` (the provider refuses this prompt) or `failed`.
        attempts: all tries of the call.
        completion: the answer, if there is one.
        reason: one word, e.g. content_filter, empty, http_400.
        detail: the sentence that goes with the reason.
    """

    status: Literal["answered", "rejected", "failed"]
    attempts: tuple[Attempt, ...]
    completion: Completion | None = None
    reason: str | None = None
    detail: str | None = None


class Teacher(Protocol):
    """A model behind an endpoint, or a program that answers like one."""

    @property
    def identity(self) -> TeacherIdentity:
        """Which model answers."""

    @property
    def capacity(self) -> int:
        """How many calls it is worth having in flight now."""

    async def ask(self, request: Request) -> CallResult:
        """Answer one call, with its own retries and rate limit.

        Raises:
            EndpointUnavailable: the endpoint answers no calls at all (key, credit, unknown model).
            CallPostponed: the teacher sends no more calls. Both carry the attempts made so far.
        """

    def drain(self) -> None:
        """Begin no more tries: waiting calls raise CallPostponed, those in flight finish."""

    async def close(self) -> None:
        """Close the connections."""
