"""Rows of answers and of the attempts to get them."""

from __future__ import annotations

from typing import Any

from annoy_store.db.tables import attempts, responses
from annoy_store.hashing import clean_text
from annoy_store.interfaces import Attempt, NewRow
from annoy_store.records.digests import attempt_digest, response_digest


def new_response(
    call: NewRow | int,
    teacher: NewRow | int,
    text: str,
    *,
    finish_reason: str,
    created_at: str,
    reasoning: str | None = None,
) -> NewRow:
    """Return the row of an answer.

    Args:
        call: The call that it answers, a row or its id.
        teacher: Who gave it, a row or its id.
        text: The answer.
        finish_reason: Why it ended.
        created_at: UTC timestamp.
        reasoning: What the model said beside the answer.
    """
    values: dict[str, Any] = {
        "call_id": call,
        "teacher_id": teacher,
        "finish_reason": finish_reason,
        "n_chars": len(text),
        "created_at": created_at,
        "text": clean_text(text),
        "reasoning": clean_text(reasoning) if reasoning is not None else None,
    }
    return NewRow(responses, values | {"digest": response_digest(values)})


def new_attempt(attempt: Attempt, call_id: int, teacher_id: int, worker_id: int) -> NewRow:
    """Return the row of an attempt.

    Args:
        attempt: What was tried, and how it ended.
        call_id: Row id of the call.
        teacher_id: Row id of the teacher that was asked.
        worker_id: Row id of the worker that asked.
    """
    texts = {name: getattr(attempt, name) for name in ("error_message", "text", "reasoning")}
    values = {
        **vars(attempt),
        **{name: clean_text(t) if t is not None else None for name, t in texts.items()},
    }
    values |= {"call_id": call_id, "teacher_id": teacher_id, "worker_id": worker_id}
    return NewRow(attempts, values | {"digest": attempt_digest(values)})
