"""Errors of one attempt of a call, and what each kind means for the call.

Decisions
- `retry` uses up one of the call's tries; `limited` (429) and `unreachable` use up none: the call
  is not at fault, and the concurrency limit or the circuit breaker bounds how long they go on.
- `refused` fails this call, `rejected` means that the provider does not want the prompt, `stop`
  means that every call would fail here (key, money, model, a parameter the model does not take).
- Errors are distinguished by status and `code`, never by their message, except for three that
  providers report in the message alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from annoy_store.hashing import clean_text
from annoy_store.inference.client.retry_after import retry_after_seconds
from annoy_store.inference.client.usage import NO_USAGE, TokenUsage

ErrorKind = Literal["retry", "limited", "unreachable", "refused", "rejected", "stop"]

_MAX_MESSAGE_CHARS = 500
_SECRETS = re.compile(
    r"\b(?:sk|pk|key|hf|nvapi|gsk|xai)[-_][\w*.\-]{6,}|Bearer\s+\S+", re.IGNORECASE
)
_STOP_CODES = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "account_deactivated",
    "invalid_api_key",
    "model_not_found",
    "invalid_model",
    "unsupported_parameter",
    "unsupported_value",
    "unknown_parameter",
}
_FILTER_CODES = {
    "content_filter",
    "content_policy_violation",
    "invalid_prompt",
    "data_inspection_failed",
    "responsibleaipolicyviolation",
}
_FILTER_MESSAGE = re.compile(r"content exists risk|requires moderation|flagged by moderation", re.I)
_UNKNOWN_MODEL_MESSAGE = re.compile(
    r"model[\s\w'\"`./:-]*(?:does not exist|not exist|not found)", re.I
)
_RETRYABLE_STATUSES = {408, 409, 425}


class CallError(Exception):
    """One attempt of a call failed.

    Attributes:
        kind: What it means for the call, as the module's docstring says.
        name: One word that names the error, such as `http_429` or `bad_body`.
        message: The provider's message, or more about the error.
        status: The HTTP status, if there was one.
        retry_after: Seconds that the provider asked to wait, if it did.
        usage: Tokens that were paid for nevertheless.
        model: The model that answered, if the response names it.
    """

    def __init__(
        self,
        kind: ErrorKind,
        name: str,
        message: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        usage: TokenUsage = NO_USAGE,
        model: str | None = None,
    ) -> None:
        super().__init__(name)
        self.kind: ErrorKind = kind
        self.name = name
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.usage = usage
        self.model = model

    @property
    def is_retryable(self) -> bool:
        """Return whether the call is worth another try."""
        return self.kind in ("retry", "limited", "unreachable")

    @property
    def reason(self) -> str:
        """Return the error as the reason of a job: its name, then its message."""
        return f"{self.name} {self.message}".strip()


def redact(text: str, secret: str | None = None) -> str:
    """Make a provider's message safe to store.

    Args:
        text: The message.
        secret: The API key that was sent.

    Returns:
        The message in one line of at most 500 characters, without anything that looks like a key.
    """
    if secret and len(secret) > 4:
        text = text.replace(secret, "***")
    return clean_text(_SECRETS.sub("***", " ".join(text.split())))[:_MAX_MESSAGE_CHARS]


def error_from_status(
    status: int, body: object, headers: Mapping[str, str], now: float
) -> CallError:
    """Classify a response with an error status.

    Args:
        status: The HTTP status.
        body: The decoded body, or its text.
        headers: The response headers, with lower-case names.
        now: The present time, in seconds since 1970.

    Returns:
        The error; only errors of kind `limited` and `retry` have a `retry_after`.
    """
    error = error_object(body)
    kind, name = _classify(status, error)
    wait = retry_after_seconds(headers, now) if kind in ("limited", "retry") else None
    return CallError(kind, name, str(error["message"]), status=status, retry_after=wait)


def error_object(body: object) -> dict[str, Any]:
    """Find the error object in a body, in any of the forms that providers use.

    Args:
        body: The decoded body, or its text.

    Returns:
        The object, with at least a `message` that is a string.
    """
    inner = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(inner, Mapping):
        message = inner.get("message") or inner.get("detail") or inner
        return {**inner, "message": message if isinstance(message, str) else str(message)}
    return {"message": "" if inner is None else str(inner)}


def _classify(status: int, error: Mapping[str, Any]) -> tuple[ErrorKind, str]:
    codes = {str(error.get("code")).lower(), str(error.get("type")).lower()}
    message = str(error["message"])
    if codes & _FILTER_CODES or (400 <= status < 500 and _FILTER_MESSAGE.search(message)):
        return "rejected", "content_filter"
    if status in (401, 402, 403) or (400 <= status < 500 and codes & _STOP_CODES):
        return "stop", f"http_{status}"
    if status in (400, 404) and _UNKNOWN_MODEL_MESSAGE.search(message):
        return "stop", f"http_{status}"
    if status == 429:
        return "limited", "http_429"
    if status in _RETRYABLE_STATUSES or status >= 500:
        return "retry", f"http_{status}"
    return "refused", f"http_{status}"
