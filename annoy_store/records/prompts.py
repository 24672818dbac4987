"""Builds the rows of prompts, of their turns and of their planned calls.

Decision: the digest of a turn covers the digests of the rows that it is about, so that the same
question asked twice is one turn, in this store and in any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, literal, select

from annoy_store.db.sql import insert_from
from annoy_store.db.tables import calls, prompts, turns
from annoy_store.hashing import compact_json
from annoy_store.interfaces import NewRow
from annoy_store.prompts.template import Template
from annoy_store.records.digests import prompt_digest, turn_digest

Messages = Sequence[Mapping[str, str]]


def count_chars(messages: Messages) -> int:
    """Return the length of a prompt in characters."""
    return sum(len(message["content"]) for message in messages)


def new_prompt(messages: Messages, template: Template) -> NewRow:
    """Return the row of a prompt.

    Args:
        messages: chat messages with `role` and `content`.
        template: the template that they were rendered from.
    """
    return NewRow(
        prompts,
        {
            "digest": prompt_digest(messages),
            "template": template.name,
            "template_digest": template.digest,
            "n_chars": count_chars(messages),
            "messages": compact_json(list(messages)),
        },
    )


def new_turn(prompt: NewRow, kind: str, number: int, about: str, **subject: Any) -> NewRow:
    """Return the row of a turn: the purpose of a prompt.

    Args:
        prompt: the row of the prompt.
        kind: the kind of the turn: `transform`, or the name of a task.
        number: its number in the chain, from 1.
        about: the digest of what it is about.
        subject: the ids of the same rows: `source_id`, `io_pair_id`, `sample_id`,
            `revises_response_id`, `chain_response_id`.
    """
    values = {"source_id": None, "io_pair_id": None, "revises_response_id": None}
    values |= {"chain_response_id": None, "sample_id": None} | subject
    row_digest = turn_digest(prompt.values["digest"], kind, number, about)
    return NewRow(
        turns, {"digest": row_digest, "prompt_id": prompt, "kind": kind, "number": number} | values
    )


def new_calls(prompt: NewRow, n_answers: int) -> list[NewRow]:
    """Return the rows of the calls for the answers to a prompt.

    Args:
        prompt: the row of the prompt.
        n_answers: how many answers to plan, numbered from 0.
    """
    return [
        NewRow(calls, {"prompt_id": prompt, "sample_no": i, "pinned_teacher_id": 0})
        for i in range(n_answers)
    ]


def prompt_rows(
    messages: Messages,
    template: Template,
    kind: str,
    number: int,
    about: str,
    n_answers: int = 1,
    **subject: Any,
) -> list[NewRow]:
    """Return the turn of a prompt and its calls; arguments as in the functions above."""
    prompt = new_prompt(messages, template)
    return [new_turn(prompt, kind, number, about, **subject), *new_calls(prompt, n_answers)]


def plan_more_calls(
    connection: Connection,
    kinds: Sequence[str],
    n_answers: int,
    pinned_teacher_id: int = 0,
    number: int = 1,
) -> dict[str, int]:
    """Plan calls until every prompt of a turn has a number of answers.

    Existing calls are kept, so a repetition adds none.

    Args:
        connection: a write transaction.
        kinds: the kinds of turns.
        n_answers: the number of answers per prompt.
        pinned_teacher_id: the teacher that has to answer; 0 for any.
        number: the number of the turn, from 1.

    Returns:
        The number of new calls by kind.
    """
    planned = {}
    for kind in kinds:
        wanted = (
            select(turns.c.prompt_id, literal(pinned_teacher_id).label("pinned_teacher_id"))
            .where(turns.c.kind == kind, turns.c.number == number)
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
            for i in range(n_answers)
        )
    return planned
