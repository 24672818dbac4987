"""The rows of one more thing asked: a prompt, the turn that says why, and the calls planned.

Decision: the digest of a turn names what it is about by the digests of those rows, so that the
same question asked twice is one turn, in this store and in any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, literal, select

from annoy_store.db.sql import insert_from
from annoy_store.db.tables import calls, prompts, turns
from annoy_store.hashing import compact_json, digest
from annoy_store.interfaces import NewRow
from annoy_store.prompts.template import Template

Messages = Sequence[Mapping[str, str]]


def count_chars(messages: Messages) -> int:
    """How long a prompt is, in characters."""
    return sum(len(message["content"]) for message in messages)


def new_prompt(messages: Messages, template: Template) -> NewRow:
    """The prompt that these messages are."""
    return NewRow(
        prompts,
        {
            "digest": digest("prompt", list(messages)),
            "template": template.name,
            "template_digest": template.digest,
            "n_chars": count_chars(messages),
            "messages": compact_json(list(messages)),
        },
    )


def new_turn(asked: NewRow, kind: str, number: int, about: str, **subject: Any) -> NewRow:
    """Why a prompt is asked: `about` is the digest of its subject, `subject` the columns."""
    values = {"source_id": None, "io_pair_id": None, "revises_response_id": None}
    values |= {"chain_response_id": None, "sample_id": None} | subject
    named = digest("turn", asked.values["digest"], kind, number, about)
    return NewRow(
        turns, {"digest": named, "prompt_id": asked, "kind": kind, "number": number} | values
    )


def new_calls(asked: NewRow, how_many: int, pinned_teacher_id: int = 0) -> list[NewRow]:
    """The calls for `how_many` answers to a prompt, from any teacher unless pinned."""
    return [
        NewRow(calls, {"prompt_id": asked, "sample_no": i, "pinned_teacher_id": pinned_teacher_id})
        for i in range(how_many)
    ]


def prompt_rows(
    messages: Messages,
    template: Template,
    kind: str,
    number: int,
    about: str,
    how_many: int = 1,
    **subject: Any,
) -> list[NewRow]:
    """All rows of one more thing asked."""
    asked = new_prompt(messages, template)
    return [new_turn(asked, kind, number, about, **subject), *new_calls(asked, how_many)]


def plan_more_calls(
    connection: Connection, kinds: Sequence[str], how_many: int, pinned_teacher_id: int = 0
) -> dict[str, int]:
    """Plan answers 0 .. `how_many` - 1 to every prompt of a first turn; return the new by kind.

    What is planned or answered already stays as it is, so asking for the same again adds nothing.
    """
    planned = {}
    for kind in kinds:
        wanted = (
            select(turns.c.prompt_id, literal(pinned_teacher_id).label("pinned_teacher_id"))
            .where(turns.c.kind == kind, turns.c.number == 1)
            .distinct()
            .subquery()
        )
        planned[kind] = sum(
            insert_from(
                connection,
                calls,
                select(
                    wanted.c.prompt_id, literal(i).label("sample_no"), wanted.c.pinned_teacher_id
                ).where(wanted.c.prompt_id.is_not(None)),
            )
            for i in range(how_many)
        )
    return planned
