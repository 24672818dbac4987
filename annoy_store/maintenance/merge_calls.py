"""Map the calls of another store to calls of this one when both asked the same prompt.

The calls of one prompt (and pinned teacher) are numbered by `sample_no`. An answer of theirs that
this store has under any number is the same answer. A new one keeps its number if that is free, else
takes the first call that waits for an answer, else the next number, as if the prompt had been sent
once more: so both stores hold as many calls after a merge, whichever is merged into the other. A
call that a worker or an open batch is about to answer is not free, for its answer is being paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, exists, literal_column, or_, select

from annoy_store.db.sql import in_values
from annoy_store.db.tables import batch_items, calls, jobs, responses
from annoy_store.records.digests import response_digest

Key = tuple[int, int]  # prompt, pinned teacher
AnswerIdentity = tuple[int, str]  # teacher, digest
_CONTENT = ("digest", "finish_reason", "text", "reasoning")


@dataclass
class StoredCall:
    """One call of a prompt in this store.

    Attributes:
        answer: Its answer, None if there is none yet.
        matched: True if an answer of theirs is assigned to it.
        in_flight: True if a worker or an open batch is about to answer it.
    """

    answer: AnswerIdentity | None = None
    matched: bool = False
    in_flight: bool = False

    @property
    def is_free(self) -> bool:
        """True if it can take an answer."""
        return self.answer is None and not self.in_flight


CallsByNumber = dict[int, StoredCall]


def answer_identity(row: Mapping[str, Any]) -> AnswerIdentity:
    """Return by what two answers are the same answer: who gave it, and what it is."""
    return row["teacher_id"], row["digest"] or response_digest(row)


def place_call(ours: CallsByNumber, number: int, answer: AnswerIdentity | None) -> tuple[int, bool]:
    """Assign a call of theirs to a call of ours.

    Args:
        ours: Our calls of the prompt; changed in place.
        number: Their sample number.
        answer: Their answer, None if there is none.

    Returns:
        Our sample number, and whether the answer is new here.
    """
    if answer is None:
        ours.setdefault(number, StoredCall())
        return number, False
    same = [n for n, call in sorted(ours.items()) if call.answer == answer and not call.matched]
    if same:
        chosen = number if number in same else same[0]
        ours[chosen].matched = True
        return chosen, False
    free = [n for n, call in sorted(ours.items()) if call.is_free]
    if number in ours and number not in free:
        number = free[0] if free else max(ours) + 1
    ours[number] = StoredCall(answer, matched=True)
    return number, True


def load_calls(
    connection: Connection, keys: Iterable[Key], matched: set[tuple[Key, int]]
) -> dict[Key, CallsByNumber]:
    """Load our calls of some prompts; those that wait for an answer cannot be claimed meanwhile.

    Args:
        connection: A write transaction.
        keys: Prompt and pinned teacher of each.
        matched: Calls that earlier calls of theirs were assigned to.

    Returns:
        By key: the calls by sample number.
    """
    found: dict[Key, CallsByNumber] = {key: {} for key in keys}
    mine = in_values(connection, calls.c.prompt_id, sorted({key[0] for key in found}))
    _lock_jobs(connection, list(connection.scalars(select(calls.c.id).where(mine))))
    chosen = (
        select(
            calls.c.prompt_id,
            calls.c.pinned_teacher_id,
            calls.c.sample_no,
            responses.c.id,
            _IN_FLIGHT.label("in_flight"),
            responses.c.teacher_id,
            *(responses.c[name] for name in _CONTENT),
        )
        .outerjoin(responses, responses.c.call_id == calls.c.id)
        .where(mine)
    )
    for row in connection.execute(chosen).mappings():
        key = row["prompt_id"], row["pinned_teacher_id"]
        if key in found:
            stored = answer_identity(dict(row)) if row["id"] is not None else None
            number = row["sample_no"]
            found[key][number] = StoredCall(stored, (key, number) in matched, row["in_flight"])
    return found


_IN_FLIGHT = or_(
    exists().where(
        jobs.c.stage == "complete",
        jobs.c.subject_id == calls.c.id,
        jobs.c.state == literal_column("'claimed'"),
    ),
    exists().where(batch_items.c.call_id == calls.c.id, batch_items.c.is_open == 1),
)


def _lock_jobs(connection: Connection, call_ids: list[int]) -> None:
    """Let no worker claim these calls until the end of the transaction."""
    mine = and_(jobs.c.stage == "complete", in_values(connection, jobs.c.subject_id, call_ids))
    connection.execute(select(jobs.c.subject_id).where(mine).with_for_update()).all()
