"""complete: send a pending call to a teacher.

selects calls without a response
does    asks the teacher configured for the kind of turn, or the one that the call is pinned to
writes  attempts, responses
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Select, and_, exists, func, select

from annoy_store.config import Policy
from annoy_store.db.tables import attempts, calls, prompts, responses, turns
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import CallPostponed, JobReturned
from annoy_store.hashing import derive_seed
from annoy_store.interfaces import (
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
from annoy_store.records.queries import first_turn_of, is_refuted, not_hidden
from annoy_store.records.responses import new_attempt, new_response
from annoy_store.tasks import TASKS

_IS_PAID = attempts.c.text.is_not(None)
_IS_UNREAD = and_(attempts.c.http_status == 200, attempts.c.status != "ok")


def select_subjects(_: Policy) -> Select[Any]:
    """Select the calls that have no response and whose source or sample is not taken down."""
    return (
        select(
            calls.c.id.label("subject_id"),
            calls.c.sample_no,
            calls.c.pinned_teacher_id,
            turns.c.kind,
            prompts.c.digest,
            prompts.c.messages,
            _replies(_IS_PAID).label("replies_before"),
            _replies(~_IS_PAID, _IS_UNREAD).label("unread_before"),
            is_refuted(calls.c.prompt_id).label("is_refuted"),
        )
        .join(prompts, prompts.c.id == calls.c.prompt_id)
        .join(turns, turns.c.id == first_turn_of(calls.c.prompt_id))
        .where(
            ~exists().where(responses.c.call_id == calls.c.id),
            not_hidden("source", turns.c.source_id),
            not_hidden("sample", turns.c.sample_id),
        )
    )


def _replies(*which: ColumnElement[bool]) -> ScalarSelect[int]:
    """Count the attempts of a call whose reply was no whole answer."""
    kept = attempts.c.call_id == calls.c.id, *which
    return select(func.count()).select_from(attempts).where(*kept).scalar_subquery()


def partitions(connection: Connection, _: Policy) -> list[dict[str, Any]]:
    """Return the groups of calls that a worker can claim: by kind of turn and pinned teacher."""
    pinned = connection.scalars(
        select(calls.c.pinned_teacher_id).where(calls.c.pinned_teacher_id > 0).distinct()
    )
    return [
        {"kind": kind, "pinned_teacher_id": teacher_id}
        for teacher_id in [0, *sorted(pinned)]
        for kind in ("transform", *TASKS)
    ]


async def run(row: Row, context: StageContext) -> Outcome:
    """Make one call and store all its attempts, also of a call that gets no answer now.

    Attempts after which the call waits are stored at once, as far as the context can.

    Raises:
        JobReturned: The job goes back to the queue; the attempts so far are stored.
    """
    if unwanted := unwanted_call(row):
        return unwanted
    teacher_id, teacher = context.teacher(row["kind"], row["pinned_teacher_id"])
    ids = row["subject_id"], teacher_id, context.worker_id
    stored: list[Attempt] = []

    def store(attempt: Attempt) -> None:
        if context.write_early is not None:
            context.write_early(attempt_rows((attempt,), *ids))
            stored.append(attempt)

    def rest(made: Iterable[Attempt]) -> tuple[Attempt, ...]:
        known = set(map(id, stored))
        return tuple(attempt for attempt in made if id(attempt) not in known)

    try:
        result = await teacher.ask(replace(build_request(row), on_attempt=store))
    except JobReturned as returned:
        returned.rows = attempt_rows(rest(returned.rows), *ids)
        raise
    except asyncio.CancelledError as cancelled:
        raise CallPostponed("stopped", attempt_rows(rest(cancelled.args), *ids)) from None
    return build_outcome(replace(result, attempts=rest(result.attempts)), *ids)


def unwanted_call(row: Row | None) -> Outcome | None:
    """Return the outcome of a call that is not worth its money any more; None if it is.

    Args:
        row: A row of `select_subjects`; None if the call is selected no more.
    """
    if row is None:
        return rejected("not_wanted")
    if row["is_refuted"]:
        return rejected("pair_unstable", detail="a later check refuted the pair that it asks about")
    return None


def build_request(row: Row) -> Request:
    """Build the request of one call.

    Args:
        row: A row of `select_subjects`.
    """
    return Request(
        call_id=row["subject_id"],
        kind=row["kind"],
        messages=json.loads(row["messages"]),
        seed=derive_seed("call", row["digest"], row["sample_no"]),
        sample_no=row["sample_no"],
        replies_before=row["replies_before"],
        unread_before=row["unread_before"],
    )


def build_outcome(result: CallResult, call_id: int, teacher_id: int, worker_id: int) -> Outcome:
    """Convert the result of a call into the outcome of its job.

    Args:
        result: The result of the call, with all attempts.
        call_id: Row id of the call.
        teacher_id: Row id of the teacher that was asked.
        worker_id: Row id of the worker that asked.

    Returns:
        `done` with the response, or `rejected` or `failed` with a reason; always with the attempts.
    """
    made = attempt_rows(result.attempts, call_id, teacher_id, worker_id)
    if result.status == "rejected":
        return rejected(result.reason or "refused", *made, detail=result.detail)
    if result.status == "failed" or result.completion is None:
        return failed(result.reason or "no_answer", *made, detail=result.detail)
    response = new_response(
        call_id,
        teacher_id,
        result.completion.text,
        finish_reason=result.completion.finish_reason,
        created_at=utc_now(),
        reasoning=result.completion.reasoning,
    )
    return done(response, *made)


def attempt_rows(
    made: Iterable[Attempt], call_id: int, teacher_id: int, worker_id: int
) -> tuple[NewRow, ...]:
    """Build the rows of the attempts of one call.

    Args:
        made: The attempts in order.
        call_id: Row id of the call.
        teacher_id: Row id of the teacher that was asked.
        worker_id: Row id of the worker that asked.
    """
    return tuple(new_attempt(a, call_id, teacher_id, worker_id) for a in made)


STAGE = Stage(
    "complete",
    select_subjects,
    trigger=calls.c.id,
    run=run,
    writes=(attempts, responses),
    executor="async",
    partitions=partitions,
)
