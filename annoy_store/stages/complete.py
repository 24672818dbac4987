"""complete: put a planned call to a teacher.

wants   calls without a response
does    asks the teacher that the settings name for the turn's kind, or the one it is pinned to
writes  attempts, responses
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Select, exists, select

from annoy_store.config import Policy
from annoy_store.db.tables import attempts, calls, io_pairs, prompts, responses, turns
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import CallPostponed, JobReturned
from annoy_store.hashing import clean_text, derive_seed
from annoy_store.interfaces import (
    TURN_KINDS,
    Attempt,
    CallResult,
    NewRow,
    Outcome,
    Request,
    Row,
    Stage,
    StageContext,
    done,
    failed,
    rejected,
)
from annoy_store.records.queries import first_turn_of, not_hidden


def select_subjects(_: Policy) -> Select[Any]:
    """Every call that has no response and whose source or sample is not taken down."""
    return (
        select(
            calls.c.id.label("subject_id"),
            calls.c.sample_no,
            calls.c.pinned_teacher_id,
            turns.c.kind,
            prompts.c.digest,
            prompts.c.messages,
        )
        .join(prompts, prompts.c.id == calls.c.prompt_id)
        .join(turns, turns.c.id == first_turn_of(calls.c.prompt_id))
        .outerjoin(io_pairs, io_pairs.c.id == turns.c.io_pair_id)
        .where(
            ~exists().where(responses.c.call_id == calls.c.id),
            not_hidden("source", turns.c.source_id),
            not_hidden("sample", io_pairs.c.sample_id),
        )
    )


def partitions(connection: Connection) -> list[dict[str, Any]]:
    """A worker claims only what its teachers can answer: told apart by kind and pinned teacher."""
    pinned = connection.scalars(
        select(calls.c.pinned_teacher_id).where(calls.c.pinned_teacher_id > 0).distinct()
    )
    return [
        {"kind": kind, "pinned_teacher_id": teacher_id}
        for teacher_id in [0, *sorted(pinned)]
        for kind in TURN_KINDS
    ]


async def run(row: Row, tools: StageContext) -> Outcome:
    """Ask one call and keep every try of it, also of a call that gets no answer now."""
    teacher_id, teacher = tools.teacher(row["kind"], row["pinned_teacher_id"])
    request = build_request(row)
    names = request.call_id, teacher_id, tools.worker_id
    try:
        asked = await teacher.ask(request)
    except JobReturned as undone:
        undone.rows = attempt_rows(undone.rows, *names)
        raise
    except asyncio.CancelledError as gone:
        raise CallPostponed("stopped", attempt_rows(gone.args, *names)) from None
    return build_outcome(asked, *names)


def build_request(row: Row) -> Request:
    """The request that a wanted row is."""
    return Request(
        call_id=row["subject_id"],
        kind=row["kind"],
        messages=json.loads(row["messages"]),
        seed=derive_seed("call", row["digest"], row["sample_no"]),
        sample_no=row["sample_no"],
    )


def build_outcome(asked: CallResult, call_id: int, teacher_id: int, worker_id: int) -> Outcome:
    """How the job of a call ends, with all rows that it made."""
    tried = attempt_rows(asked.attempts, call_id, teacher_id, worker_id)
    if asked.status == "rejected":
        return rejected(asked.reason or "refused", *tried, detail=asked.detail)
    if asked.status == "failed" or asked.completion is None:
        return failed(asked.reason or "no_answer", *tried, detail=asked.detail)
    text = clean_text(asked.completion.text)
    reasoning = asked.completion.reasoning
    response = NewRow(
        responses,
        {
            "call_id": call_id,
            "teacher_id": teacher_id,
            "finish_reason": asked.completion.finish_reason,
            "n_chars": len(text),
            "created_at": utc_now(),
            "text": text,
            "reasoning": clean_text(reasoning) if reasoning is not None else None,
        },
    )
    return done(response, *tried)


def attempt_rows(
    tried: Iterable[Attempt], call_id: int, teacher_id: int, worker_id: int
) -> tuple[NewRow, ...]:
    """The rows of the tries of a call."""
    return tuple(_attempt(a, call_id, teacher_id, worker_id) for a in tried)


def _attempt(attempt: Attempt, call_id: int, teacher_id: int, worker_id: int) -> NewRow:
    message = attempt.error_message
    return NewRow(
        attempts,
        {
            **vars(attempt),
            "error_message": clean_text(message) if message is not None else None,
            "call_id": call_id,
            "teacher_id": teacher_id,
            "worker_id": worker_id,
        },
    )


STAGE = Stage(
    "complete",
    select_subjects,
    trigger=calls.c.id,
    run=run,
    writes=(attempts, responses),
    executor="asking",
    partitions=partitions,
)
