"""Error bodies, and the headers in which providers say how long to wait."""

from __future__ import annotations

import email.utils
import time
from typing import Any


def error_body(status: int, message: str, /, **more: Any) -> dict[str, Any]:
    """Return the body of an error as OpenAI words it; `more` adds to the error object."""
    kinds = {429: "rate_limit_exceeded", 401: "invalid_request_error", 404: "not_found_error"}
    error = {"message": message, "type": kinds.get(status, "sim_error"), "param": None}
    return {"error": {**error, "code": kinds.get(status), **more}}


def retry_headers(form: str, seconds: float) -> dict[str, str]:
    """Return headers that ask for a wait of `seconds`, in one of the forms that providers use."""
    if form == "seconds":
        return {"retry-after": f"{seconds:g}"}
    if form == "ms":
        return {"retry-after-ms": str(int(seconds * 1000))}
    if form == "date":
        return {"retry-after": email.utils.formatdate(time.time() + seconds, usegmt=True)}
    if form == "reset":
        return {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": f"{int(seconds * 1000)}ms",
            "x-ratelimit-remaining-tokens": "1000",
            "x-ratelimit-reset-tokens": "6m0s",
        }
    return {}
