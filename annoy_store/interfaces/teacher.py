"""The interface of a teacher: a model, or a program that answers like one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    """One call to a teacher.

    Attributes:
        call_id: id of the row in `calls`.
        kind: kind of the turn.
        messages: chat messages with `role` and `content`.
        seed: sampling seed, different for each sample number.
        sample_no: number of the answer to the same prompt, from 0.
        replies_before: earlier replies to this call that were paid for and are no whole answer;
            the seed changes with each.
        unread_before: earlier replies of status 200 that held no answer and were not paid for, as
            far as they say; the seed changes with each, because a cache would repeat them.
        on_attempt: called with each attempt after which the call waits for its next; may be left
            out by teachers that never wait.
    """

    call_id: int
    kind: str
    messages: Sequence[Mapping[str, str]]
    seed: int
    sample_no: int = 0
    replies_before: int = 0
    unread_before: int = 0
    on_attempt: Callable[[Attempt], None] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Completion:
    """The answer of a teacher.

    Attributes:
        text: the answer.
        finish_reason: why it ended; `length` marks a truncated answer, `incomplete` one that the
            provider broke off.
        reasoning: the reasoning that the endpoint returned separately from the answer.
        model: model name in the response, if any.
    """

    text: str
    finish_reason: str = "stop"
    reasoning: str | None = None
    model: str | None = None

    @property
    def says_anything(self) -> bool:
        """Return whether there is any text or reasoning."""
        return bool(self.text.strip() or self.reasoning)


@dataclass(frozen=True)
class Attempt:
    """One HTTP request for a call, as in the table `attempts`; token counts are None if unknown.

    Attributes:
        status: ok, retry, limited, failed or stopped.
        started_at: UTC, as `utc_now` writes it.
        latency_ms: milliseconds until the answer was complete.
        error_class: a short code to group errors by.
        error_message: the message of the error.
        http_status: status code of the response.
        prompt_tokens: billed prompt tokens, the cached ones included.
        cached_tokens: prompt tokens that the provider had cached.
        completion_tokens: billed answer tokens, reasoning included.
        reasoning_tokens: the share of reasoning in the answer tokens.
        model: model name in the response.
        text: the answer that was paid for, if it did not become the response; maybe empty.
        reasoning: its reasoning.
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
    text: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True)
class CallResult:
    """How one call ended.

    Attributes:
        status: `answered`, `rejected` (the provider refuses this prompt) or `failed`.
        attempts: all attempts of the call.
        completion: the answer, if there is one.
        reason: a short code, e.g. content_filter, empty, http_400.
        detail: a sentence that explains the reason.
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
        """How many calls should be in flight now."""

    async def ask(self, request: Request) -> CallResult:
        """Answer one call, with its own retries and rate limit.

        Raises:
            EndpointUnavailable: the endpoint rejects every call (key, credit, unknown model).
            CallPostponed: the teacher sends no more calls. Both carry the attempts made so far.
        """

    def drain(self) -> None:
        """Start no more attempts: waiting calls raise CallPostponed, those in flight finish."""

    async def close(self) -> None:
        """Close the connections."""
