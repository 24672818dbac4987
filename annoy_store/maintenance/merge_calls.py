"""Two stores may have asked the same: which call of ours a call of theirs becomes.

The calls of one prompt (and pin) stand on a shelf by their sample numbers. An answer of theirs that
stands there already is the same answer, wherever it stands; one that does not goes to its own
number if that is free, and else behind the last, as if the prompt had been asked once more.
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
    """One sample number of a shelf: its answer, if there is one, and whether it is taken."""

    answer: AnswerIdentity | None = None
    matched: bool = False


CallsByNumber = dict[int, StoredCall]


def answer_identity(row: Mapping[str, Any]) -> AnswerIdentity:
    """What makes an answer the same answer."""
    return tuple(row[name] for name in ANSWER_COLUMNS)


def place_call(
    shelf: CallsByNumber, number: int, answer: AnswerIdentity | None
) -> tuple[int, bool]:
    """Put a call on its shelf; return its number, and whether its answer is new there."""
    if answer is None:
        shelf.setdefault(number, StoredCall())
        return number, False
    same = [n for n, slot in sorted(shelf.items()) if slot.answer == answer and not slot.matched]
    if same:
        chosen = number if number in same else same[0]
        shelf[chosen].matched = True
        return chosen, False
    is_free = number not in shelf or shelf[number].answer is None
    chosen = number if is_free else max(shelf) + 1
    shelf[chosen] = StoredCall(answer, matched=True)
    return chosen, True


def load_calls(
    connection: Connection, keys: Iterable[Key], matched: set[tuple[Key, int]]
) -> dict[Key, CallsByNumber]:
    """What stands on the shelves of some prompts; `matched` were taken by earlier calls."""
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
            stands = tuple(answer) if response_id is not None else None
            found[key][number] = StoredCall(stands, (key, number) in matched)
    return found
