"""Lines of batch files: requests and their results.

Decisions
- A result is matched by its `custom_id` alone, which names the batch and the call; providers answer
  in any order, and in two files.
- A line of status 200 is parsed as strictly as an online response, and a line that was never
  processed (the batch expired or was cancelled) is distinguished from one that failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from annoy_store.inference.client.batch_types import COMPLETIONS_PATH
from annoy_store.inference.client.errors import CallError, error_from_status, error_object, redact
from annoy_store.inference.client.reply_body import decode_reply
from annoy_store.inference.client.response import parse_completion
from annoy_store.inference.client.usage import NO_USAGE, TokenUsage
from annoy_store.interfaces import Completion

UNPROCESSED_CODES = ("batch_expired", "batch_cancelled")
_CUSTOM_ID = re.compile(r"([0-9a-f]{12})-([0-9]{1,18})")
_PAGE = 500


@dataclass(frozen=True)
class ResultLine:
    """The result of one call.

    Attributes:
        batch_name: The store's name of the batch.
        call_id: The call, an id of `calls`.
        result: The completion, or the error.
        usage: The tokens that it used.
        is_processed: Whether the provider worked on it at all.
    """

    batch_name: str
    call_id: int
    result: Completion | CallError
    usage: TokenUsage = NO_USAGE
    is_processed: bool = True


def request_line(name: str, call_id: int, body: bytes) -> bytes:
    """Return one line of an input file.

    See https://platform.openai.com/docs/api-reference/batch/request-input.

    Args:
        name: The store's name of the batch.
        call_id: The call.
        body: Its request body, as JSON.

    Returns:
        The line, with its line end.
    """
    start = f'{{"custom_id":"{name}-{call_id}","method":"POST","url":"{COMPLETIONS_PATH}","body":'
    return start.encode() + body + b"}\n"


def parse_result_line(line: bytes) -> ResultLine | None:
    """Parse one line of an output or error file; None if no store has written its request."""
    try:
        record = orjson.loads(line)
    except ValueError:
        return None
    named = _CUSTOM_ID.fullmatch(str(record.get("custom_id"))) if _is_object(record) else None
    if named is None:
        return None
    try:
        completion, usage = _parse_record(record)
    except CallError as error:
        error.message = redact(error.message)
        is_processed = error.name not in UNPROCESSED_CODES
        return ResultLine(named[1], int(named[2]), error, error.usage, is_processed)
    return ResultLine(named[1], int(named[2]), completion, usage)


def result_pages(path: Path) -> Iterator[list[ResultLine]]:
    """Yield the results in a file, some hundred at a time.

    Raises:
        OSError: The file cannot be read.
    """
    page: list[ResultLine] = []
    with path.open("rb") as file:
        for text in file:
            if (line := parse_result_line(text)) is not None:
                page.append(line)
            if len(page) == _PAGE:
                yield page
                page = []
    if page:
        yield page


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _parse_record(record: Mapping[str, Any]) -> tuple[Completion, TokenUsage]:
    """Return the completion in a line. Raises CallError."""
    response = record.get("response")
    if not isinstance(response, Mapping):
        error = error_object(record.get("error"))
        raise CallError("retry", _reason(error.get("code")), error["message"])
    status, body = response.get("status_code", 200), response.get("body")
    if isinstance(status, int) and status >= 300:
        raise error_from_status(status, body or record.get("error"), {}, 0.0)
    if isinstance(body, str):  # as it came, a stream for example
        body = decode_reply(body.encode("utf-8", "replace"))
    if not isinstance(body, Mapping):
        raise CallError("retry", "bad_body", f"not an object: {str(body)[:120]}")
    return parse_completion(body)


def _reason(code: object) -> str:
    """Return an error code as the one word that a reason is."""
    return re.sub(r"\W+", "_", str(code))[:60] if code else "no_response"
