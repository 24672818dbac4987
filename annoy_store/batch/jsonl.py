"""The lines of batch files: a question, and what came back for it.

Decisions
- A line is joined by its `custom_id` alone, which names the batch and the call; providers answer
  in any order, and in two files.
- A line of status 200 is read as strictly as an answer online, and a line that nobody worked on
  (the batch expired or was cancelled) is told from one that went wrong.
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
from annoy_store.inference.client.response import parse_completion
from annoy_store.inference.client.usage import NO_USAGE, TokenUsage
from annoy_store.interfaces import Completion

UNPROCESSED_CODES = ("batch_expired", "batch_cancelled")
_CUSTOM_ID = re.compile(r"([0-9a-f]{12})-([0-9]{1,18})")
_PAGE = 500


@dataclass(frozen=True)
class ResultLine:
    """What came back for a call of the batch `name`: an answer, or a fault.

    `served` is False when nobody worked on it.
    """

    batch_name: str
    call_id: int
    result: Completion | CallError
    usage: TokenUsage = NO_USAGE
    is_processed: bool = True


def request_line(name: str, call_id: int, body: bytes) -> bytes:
    """Return the line that asks `body` for a call."""
    opening = f'{{"custom_id":"{name}-{call_id}","method":"POST","url":"{COMPLETIONS_PATH}","body":'
    return opening.encode() + body + b"}\n"


def parse_result_line(line: bytes) -> ResultLine | None:
    """Return what a line says; None if it is none of ours."""
    try:
        record = orjson.loads(line)
    except ValueError:
        return None
    named = _CUSTOM_ID.fullmatch(str(record.get("custom_id"))) if _is_object(record) else None
    if named is None:
        return None
    try:
        answer, tokens = _parse_record(record)
    except CallError as fault:
        fault.message = redact(fault.message)
        served = fault.name not in UNPROCESSED_CODES
        return ResultLine(named[1], int(named[2]), fault, fault.usage, served)
    return ResultLine(named[1], int(named[2]), answer, tokens)


def result_pages(path: Path) -> Iterator[list[ResultLine]]:
    """Read the replies in a file, some hundred at a time."""
    page: list[ResultLine] = []
    with path.open("rb") as file:
        for line in file:
            if (reply := parse_result_line(line)) is not None:
                page.append(reply)
            if len(page) == _PAGE:
                yield page
                page = []
    if page:
        yield page


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _parse_record(record: Mapping[str, Any]) -> tuple[Completion, TokenUsage]:
    """Return the answer in a line. Raises Fault."""
    response = record.get("response")
    if not isinstance(response, Mapping):
        error = error_object(record.get("error"))
        raise CallError("retry", _reason(error.get("code")), error["message"])
    status, body = response.get("status_code", 200), response.get("body")
    if isinstance(status, int) and status >= 300:
        raise error_from_status(status, body or record.get("error"), {}, 0.0)
    if not isinstance(body, Mapping):
        raise CallError("retry", "bad_body", f"not an object: {str(body)[:120]}")
    return parse_completion(body)


def _reason(code: object) -> str:
    """Return a code as the one word that a reason is."""
    return re.sub(r"\W+", "_", str(code))[:60] if code else "no_response"
