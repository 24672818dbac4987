"""Errors of one attempt of a call, and what each kind means for the call.

Decisions
- `retry` uses up one of the call's tries; `limited` (429) and `unreachable` use up none: the call
  is not at fault, and the concurrency limit or the circuit breaker bounds how long they go on.
  `omitted` uses up none either: the endpoint refuses a field, which is left out from then on.
- `refused` is the fault of this call or of the endpoint, as is the error of a call's last try; what
  other calls get decides that (refusals.py). `rejected` means that the model or the provider withheld this answer, `stop` that
  every call would fail here: the key, the money, a model that is not known.
- Errors are distinguished by status and `code`, and by their message where providers report them in
  the message alone. What a message quotes is not read: it may be the prompt.
- An error object in a body of status 200 is read as if it had come with the status that it names.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Set
from typing import Any, Literal
from urllib.parse import quote

from annoy_store.hashing import clean_text
from annoy_store.inference.client.retry_after import retry_after_seconds
from annoy_store.inference.client.retry_after_body import body_wait_seconds
from annoy_store.inference.client.usage import NO_USAGE, TokenUsage
from annoy_store.interfaces import Completion

ErrorKind = Literal["retry", "limited", "unreachable", "omitted", "refused", "rejected", "stop"]

CONNECTION_ADVICE = {
    "certificate": "set SSL_CERT_FILE to the certificates to trust: the authority that signed the "
    "server's, or the server's own if it is self-signed; and use the host name that it is for",
    "no_tls": "the server speaks no TLS at this port: begin --base-url with http://",
    "proxy": "check HTTP_PROXY and HTTPS_PROXY, or except the host with NO_PROXY",
    "unreachable": "check --base-url, and that the server runs",
}
_MAX_MESSAGE_CHARS = 500
_SECRETS = re.compile(
    r"\b(?:c?sk|pk|key|hf|nvapi|gsk|xai|r8|fw|tgp|pplx|gh[opsu]|glpat)[-_][\w*.\-]{6,}"
    r"|\b(?:AIza|AKIA|eyJ)[\w.\-]{12,}|Bearer\s+\S+|Basic\s+(?=\S*[\d=])\S{8,}",
    re.IGNORECASE,
)
_KEY_CODES = {
    "invalid_api_key",
    "api_key_invalid",
    "invalid_authentication",
    "authentication_error",
    "unauthenticated",
    "unauthorized",
    "account_deactivated",
}
_MONEY_CODES = {
    "insufficient_quota",
    "insufficient_balance",
    "billing_hard_limit_reached",
    "billing_not_active",
}
_MODEL_CODES = {"model_not_found", "invalid_model"}
_FILTER_CODES = {
    "content_filter",
    "content_policy_violation",
    "invalid_prompt",
    "data_inspection_failed",
    "responsibleaipolicyviolation",
}
_FILTER_MESSAGE = re.compile(
    r"content exists risk|requires moderation|\bflagged\b|content (?:management )?policy"
    r"|content filter|safety (?:system|filter|polic)|usage polic|inappropriate content",
    re.I,
)
_UNKNOWN_MODEL_MESSAGE = re.compile(
    r"model[\s\w'\"`./:-]*(?:does not exist|not exist|not found)", re.I
)
_KEY = r"(?:api[ _-]?key|(?:access|auth\w*|bearer) token|credentials?|authentication|authorization)"
_BAD = r"(?:not valid|invalid|incorrect|wrong|expired|revoked|missing|required|failed|error|denied|disabled)"
_KEY_MESSAGE = re.compile(
    rf"{_KEY}\b[\w\s:*-]{{0,40}}\b{_BAD}|\b{_BAD}\b[\w\s]{{0,20}}{_KEY}"
    r"|^(?:unauthori[sz]ed|unauthenticated)\b|no api[ _-]?key",
    re.I,
)
_QUOTED = re.compile(r"""(?<!\w)'[^']*'(?!\w)|"[^"]*"|`[^`]*`""")
_LIMIT_AND_REQUEST = re.compile(r"\blimit:?\s*(\d[\d,]*).{0,60}?\brequested:?\s*(\d[\d,]*)", re.I)
_MAX_READ_CHARS = 300  # of a message: what it is about stands at its beginning
_LIKENESS_WORDS = 8
_ERROR_FIELDS = ("error", "errors", "base_resp", "message", "msg", "detail")
_MESSAGE_FIELDS = ("message", "msg", "detail", "error_msg", "status_msg", "error_description")
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
        answer: An answer that was paid for and is not whole, maybe empty; such a call is tried once
            more at most.
        details: The provider's error object, as it came.
        flag: The flag that changes what the error is about, if it is about a request field.
        is_shared: Whether it is the endpoint's fault, because other calls got it alike.
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
        self.answer: Completion | None = None
        self.details: Mapping[str, Any] = {}
        self.flag: str | None = None
        self.is_shared = False

    @property
    def is_retryable(self) -> bool:
        """Return whether the call is worth another try."""
        return self.kind in ("retry", "limited", "unreachable", "omitted")

    @property
    def counts_as_try(self) -> bool:
        """Return whether it uses up a try of its call: no fault of the endpoint does."""
        return self.kind == "retry" and not self.is_shared

    @property
    def is_about_prompt(self) -> bool:
        """Return whether the provider does not want this prompt, if the fault is the call's."""
        return self.kind == "rejected" or self.name in ("content_filter", "http_403")

    @property
    def is_about_key(self) -> bool:
        """Return whether the provider says that the key is at fault."""
        words = _unquoted(self.message[:_MAX_READ_CHARS])
        return self.status == 401 or _KEY_MESSAGE.search(words) is not None

    @property
    def likeness(self) -> tuple[str, int | None, str]:
        """Return what refusals that are alike have in common; what a message quotes is not."""
        words = re.findall(r"[a-z]+", _unquoted(self.message).lower())
        return self.name, self.status, " ".join(words[:_LIKENESS_WORDS])

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
        for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")):
            text = text.replace(form, "***")
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
    failure = CallError(kind, name, str(error["message"]), status=status)
    if kind in ("limited", "retry"):
        waits = (retry_after_seconds(headers, now), body_wait_seconds(body, now))
        failure.retry_after = max((wait for wait in waits if wait is not None), default=None)
    failure.details = error
    return failure


def error_from_body(body: object) -> CallError:
    """Classify a body of status 200 that holds no message.

    Args:
        body: The decoded body.

    Returns:
        The error; one that names no status and no fault that is known counts as status 500, and
        `no_choices` is a body that holds no error.
    """
    if not isinstance(body, Mapping) or not any(body.get(name) for name in _ERROR_FIELDS):
        return CallError("retry", "no_choices", "no message in the answer")
    error = error_object(body)
    named = (str(error.get(name)) for name in ("code", "status", "status_code"))
    status = next((int(n) for n in named if re.fullmatch("[45][0-9]{2}", n)), None)
    return error_from_status(status or _likely_status(error), body, {}, time.time())


def _likely_status(error: Mapping[str, Any]) -> int:
    """Return the status that an error object would have come with, if its server had sent one."""
    codes, message = _codes_and_words(error)
    if codes & _MONEY_CODES:
        return 402
    if codes & _MODEL_CODES or _UNKNOWN_MODEL_MESSAGE.search(message):
        return 404
    if _is_for_every_call(400, codes, message):
        return 401
    return 400 if codes & _FILTER_CODES or _FILTER_MESSAGE.search(message) else 500


def error_object(body: object) -> dict[str, Any]:
    """Find the error object in a body, in any of the forms that providers use.

    Args:
        body: The decoded body, or its text.

    Returns:
        The object, with at least a `message` that is a string.
    """
    if isinstance(body, list) and body:
        return error_object(body[0])
    if isinstance(body, Mapping):
        inner = next((body[n] for n in _ERROR_FIELDS[:3] if body.get(n)), body)
        if isinstance(inner, list) and inner:
            inner = inner[0]
        if isinstance(inner, Mapping):
            message = next((inner[n] for n in _MESSAGE_FIELDS if inner.get(n)), inner)
            return {**inner, "message": message if isinstance(message, str) else str(message)}
        body = body.get("message") or body.get("error_description") or inner
    return {"message": "" if body is None else str(body)}


def _classify(status: int, error: Mapping[str, Any]) -> tuple[ErrorKind, str]:
    codes, message = _codes_and_words(error)
    if 400 <= status < 500 and _is_for_every_call(status, codes, message):
        return "stop", f"http_{status}"
    if codes & _FILTER_CODES or (400 <= status < 500 and _FILTER_MESSAGE.search(message)):
        return "refused", "content_filter"
    if status == 429:
        return (
            ("refused", "over_rate_limit") if _exceeds_limit(message) else ("limited", "http_429")
        )
    if status in _RETRYABLE_STATUSES or status >= 500:
        return "retry", f"http_{status}"
    return "refused", f"http_{status}"


def _codes_and_words(error: Mapping[str, Any]) -> tuple[Set[str], str]:
    """Return the codes of an error object, and the beginning of its message without quotations."""
    codes = {str(error.get(name)).lower() for name in ("code", "type", "status")}
    return codes, _unquoted(str(error["message"])[:_MAX_READ_CHARS])


def _is_for_every_call(status: int, codes: Set[str], message: str) -> bool:
    """Return whether the key, the money or the model is at fault."""
    if status in (401, 402) or codes & (_KEY_CODES | _MONEY_CODES | _MODEL_CODES):
        return True
    if status in (400, 403, 404, 422) and _UNKNOWN_MODEL_MESSAGE.search(message):
        return True
    return status != 429 and _KEY_MESSAGE.search(message) is not None


def _exceeds_limit(message: str) -> bool:
    """Return whether a call alone needs more than the limit allows: `Limit 10000, Requested 15000`."""
    found = _LIMIT_AND_REQUEST.search(message)
    return found is not None and _number(found[2]) > _number(found[1])


def _number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def _unquoted(text: str) -> str:
    return _QUOTED.sub("''", text)
