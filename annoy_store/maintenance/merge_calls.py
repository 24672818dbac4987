"""Map the calls of another store to calls of this one when both asked the same prompt.

The calls of one prompt (and pinned teacher) are numbered by `sample_no`. An answer of theirs that
this store has under any number is the same answer; a new one keeps its number if that is free, and
else gets the next one, as if the prompt had been sent once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from annoy_store.db.sql import in_values
from annoy_store.db.tables import calls, responses

Key = tuple[int, int]  # prompt, pinned teacher
AnswerIdentity = tuple[Any, ...]
ANSWER_COLUMNS = ("teacher_id", "finish_reason", "text", "reasoning")


@dataclass
class StoredCall:
    """One call of a prompt in this store.

    Attributes:
        answer: Its answer, None if there is none yet.
        matched: True if an answer of theirs is assigned to it.
    """

    answer: AnswerIdentity | None = None
    matched: bool = False


CallsByNumber = dict[int, StoredCall]


def answer_identity(row: Mapping[str, Any]) -> AnswerIdentity:
    """Return the columns by which two answers are the same answer."""
    return tuple(row[name] for name in ANSWER_COLUMNS)


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
    is_free = number not in ours or ours[number].answer is None
    chosen = number if is_free else max(ours) + 1
    ours[chosen] = StoredCall(answer, matched=True)
    return chosen, True


def load_calls(
    connection: Connection, keys: Iterable[Key], matched: set[tuple[Key, int]]
) -> dict[Key, CallsByNumber]:
    """Load our calls of some prompts.

    Args:
        connection: A connection to the store.
        keys: Prompt and pinned teacher of each.
        matched: Calls that earlier calls of theirs were assigned to.

    Returns:
        By key: the calls by sample number.
    """
    found: dict[Key, CallsByNumber] = {key: {} for key in keys}
    chosen = (
        select(
            calls.c.prompt_id,
            calls.c.pinned_teacher_id,
            calls.c.sample_no,
            responses.c.id,
            *(responses.c[name] for name in ANSWER_COLUMNS),
        )
        .outerjoin(responses, responses.c.call_id == calls.c.id)
        .where(in_values(connection, calls.c.prompt_id, sorted({key[0] for key in found})))
    )
    for prompt, pinned, number, response_id, *answer in connection.execute(chosen):
        key = prompt, pinned
        if key in found:
            stored = tuple(answer) if response_id is not None else None
            found[key][number] = StoredCall(stored, (key, number) in matched)
    return found
