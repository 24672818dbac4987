"""What can go wrong with one try of a call, and what each kind of trouble means for the call.

Decisions
- `retry` burns one of the call's tries, `limited` (429) and `unreachable` burn none: the call is
  not at fault, and the limiter or the circuit breaker bounds how long they go on.
- `refused` fails this call, `rejected` says that the prompt itself is not wanted, `stop` says
  that nobody gets an answer here (key, money, model, a parameter this model does not take).
- Providers are told apart by status and `code`, never by wording, save for the three that say
  it in words alone.
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
    """One try went wrong. `name` is one word; `words` say more; `wait` is what was asked for."""

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
        """Say whether the call is worth another try."""
        return self.kind in ("retry", "limited", "unreachable")

    @property
    def reason(self) -> str:
        """Return the fault as the reason of a job: one word that names it, then the rest."""
        return f"{self.name} {self.message}".strip()


def redact(text: str, secret: str | None = None) -> str:
    """Return `text` in one line, without anything like a key, cut to what a row should hold."""
    if secret and len(secret) > 4:
        text = text.replace(secret, "***")
    return clean_text(_SECRETS.sub("***", " ".join(text.split())))[:_MAX_MESSAGE_CHARS]


def error_from_status(
    status: int, body: object, headers: Mapping[str, str], now: float
) -> CallError:
    """Classify an answer with an error status; `now` is the time in seconds since 1970."""
    error = error_object(body)
    kind, name = _classify(status, error)
    wait = retry_after_seconds(headers, now) if kind in ("limited", "retry") else None
    return CallError(kind, name, str(error["message"]), status=status, retry_after=wait)


def error_object(body: object) -> dict[str, Any]:
    """Return the error that `body` tells of, in whatever form, with at least a `message`."""
    inner = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(inner, Mapping):
        words = inner.get("message") or inner.get("detail") or inner
        return {**inner, "message": words if isinstance(words, str) else str(words)}
    return {"message": "" if inner is None else str(inner)}


def _classify(status: int, error: Mapping[str, Any]) -> tuple[ErrorKind, str]:
    codes = {str(error.get("code")).lower(), str(error.get("type")).lower()}
    words = str(error["message"])
    if codes & _FILTER_CODES or (400 <= status < 500 and _FILTER_MESSAGE.search(words)):
        return "rejected", "content_filter"
    if status in (401, 402, 403) or (400 <= status < 500 and codes & _STOP_CODES):
        return "stop", f"http_{status}"
    if status in (400, 404) and _UNKNOWN_MODEL_MESSAGE.search(words):
        return "stop", f"http_{status}"
    if status == 429:
        return "limited", "http_429"
    if status in _RETRYABLE_STATUSES or status >= 500:
        return "retry", f"http_{status}"
    return "refused", f"http_{status}"
