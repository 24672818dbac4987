"""Requests that providers refuse by model family, in the words in which they refuse them.

Sources: public issues that quote the errors: openai/openai-python 2072 (o3-mini), QwenLM/qwen-code
921 (gpt-5-mini), koosoli/ESPHomeDesigner 379 (max_tokens), nashsu/llm_wiki 336 (unrecognized
argument), partITech/php-mistral 76 and langchain-ai/langchain-azure 82 (extra_forbidden),
Vali-98/ChatterUI 227 (Gemini), and https://api-docs.deepseek.com/quick_start/error_codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.support.provider.errors import error_body

Body = dict[str, Any]
Refused = tuple[int, Any]
_COMMON = {"model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "n"}
_OPENAI = _COMMON | {"seed", "max_completion_tokens", "reasoning_effort", "response_format"}


def _openai(body: Body) -> Refused | None:
    def refused(message: str, code: str | None, param: str | None) -> Refused:
        more = {"type": "invalid_request_error", "code": code, "param": param}
        return 400, error_body(400, message, **more)

    if unknown := sorted(body.keys() - _OPENAI):
        return refused(f"Unrecognized request argument supplied: {unknown[0]}", None, None)
    if not re.match(r"o\d|gpt-5", str(body["model"])):
        return None
    if "max_tokens" in body:
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        )
        return refused(message, "unsupported_parameter", "max_tokens")
    if (value := body.get("temperature", 1)) != 1:
        message = (
            f"Unsupported value: 'temperature' does not support {value} with this model. "
            "Only the default (1) value is supported."
        )
        return refused(message, "unsupported_value", "temperature")
    if body.get("top_p", 1) != 1:
        message = "Unsupported parameter: 'top_p' is not supported with this model."
        return refused(message, "unsupported_parameter", "top_p")
    return None


def _deepseek(body: Body) -> Refused | None:
    if body["model"] not in ("deepseek-flash", "deepseek-v4-pro"):
        return 400, error_body(400, "Model Not Exist", type="invalid_request_error", code=None)
    if not 1 <= body.get("max_tokens", 1) <= 8192:
        message = "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"
        return 400, error_body(400, message, type="invalid_request_error", code=None)
    return None


def _mistral(body: Body) -> Refused | None:
    unknown = sorted(body.keys() - _COMMON - {"random_seed", "safe_prompt", "response_format"})
    detail = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
        for name in unknown
    ]
    return (422, {"object": "error", "message": {"detail": detail}}) if unknown else None


def _gemini(body: Body) -> Refused | None:
    unknown = sorted(body.keys() - _COMMON - {"max_completion_tokens", "reasoning_effort"})
    lines = [
        f'Invalid JSON payload received. Unknown name "{n}": Cannot find field.' for n in unknown
    ]
    error = {"code": 400, "message": "\n".join(lines), "status": "INVALID_ARGUMENT"}
    return (400, [{"error": error}]) if unknown else None


FAMILIES: dict[str, Callable[[Body], Refused | None]] = {
    "openai": _openai,
    "deepseek": _deepseek,
    "mistral": _mistral,
    "gemini": _gemini,
}
