"""revise: ask again with feedback after an answer that is not correct.

selects current verdicts that are not correct, on turns below `max_turns`
does    renders the next prompt: the earlier messages, the answer, the feedback
writes  prompts, turns, turn_pairs, calls
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    String,
    and_,
    cast,
    exists,
    func,
    or_,
    select,
)

from annoy_store.config import Policy
from annoy_store.db.tables import (
    calls,
    prompts,
    responses,
    teachers,
    turn_pairs,
    turns,
    verdicts,
)
from annoy_store.interfaces import NewRow, Outcome, Row, Stage, StageContext, done, rejected
from annoy_store.prompts.template import load_template
from annoy_store.records.digests import revision_digest
from annoy_store.records.prompts import count_chars, new_calls, new_prompt, new_turn
from annoy_store.records.queries import answered_turns, current_verdict, not_hidden

FIELD_SEPARATOR, RECORD_SEPARATOR = "\x1f", "\x1e"


def select_subjects(policy: Policy) -> Select[Any]:
    """Select the current verdicts that are not correct and whose answer was not revised.

    Two chains may share a prompt (their first answers were equal); `chains` lists them all, so that
    each gets its next turn. Of several answers to a later turn the first alone is revised, so that
    a chain stays one conversation.
    """
    sharing = turns.alias("sharing")
    chains = (
        select(func.aggregate_strings(cast(sharing.c.chain_response_id, String), ","))
        .where(sharing.c.prompt_id == calls.c.prompt_id)
        .correlate(calls)
        .scalar_subquery()
    )
    revised = turns.alias("revised")
    return (
        select(
            verdicts.c.id.label("subject_id"),
            verdicts.c.response_id,
            verdicts.c.feedback,
            responses.c.text,
            turns.c.kind,
            turns.c.number,
            turns.c.io_pair_id,
            turns.c.sample_id,
            turns.c.digest.label("turn_digest"),
            calls.c.sample_no,
            teachers.c.digest.label("pinned_digest"),
            chains.label("chains"),
            _listed_pairs().label("pairs"),
            prompts.c.messages,
        )
        .select_from(
            answered_turns()
            .join(verdicts, verdicts.c.response_id == responses.c.id)
            .join(prompts, prompts.c.id == calls.c.prompt_id)
            .join(teachers, teachers.c.id == calls.c.pinned_teacher_id)
        )
        .where(
            verdicts.c.status != "correct",
            verdicts.c.id == current_verdict(),
            turns.c.number < policy.max_turns,
            ~exists().where(revised.c.revises_response_id == responses.c.id),
            or_(turns.c.number == 1, ~_comes_second()),
            turns.c.sample_id.is_not(None),
            not_hidden("sample", turns.c.sample_id),
        )
    )


def _comes_second() -> ColumnElement[bool]:
    """The answer is to a prompt that has an earlier answer, or one that was revised."""
    other, sibling = calls.alias("other_call"), responses.alias("sibling")
    revised = turns.alias("revised_sibling")
    is_revised = exists().where(revised.c.revises_response_id == sibling.c.id)
    earlier = or_(
        other.c.sample_no < calls.c.sample_no,
        and_(
            other.c.sample_no == calls.c.sample_no,
            other.c.pinned_teacher_id < calls.c.pinned_teacher_id,
        ),
    )
    return exists().where(
        other.c.prompt_id == calls.c.prompt_id,
        sibling.c.call_id == other.c.id,
        or_(earlier, is_revised),
    )


def _listed_pairs() -> ScalarSelect[str]:
    """Return the ids and roles of the pairs of a turn as one text, which `_pairs` reads."""
    pair = cast(turn_pairs.c.io_pair_id, String) + FIELD_SEPARATOR + turn_pairs.c.role
    return (
        select(func.aggregate_strings(pair, RECORD_SEPARATOR))
        .where(turn_pairs.c.turn_id == turns.c.id)
        .correlate(turns)
        .scalar_subquery()
    )


def run(row: Row, context: StageContext) -> Outcome:
    """Render the next prompt of one chain, or of all chains that share the answer."""
    template = load_template(context.policy.template_revise)
    messages = [
        *json.loads(row["messages"]),
        {"role": "assistant", "content": row["text"]},
        *template.render(feedback=row["feedback"]),
    ]
    if count_chars(messages) > context.policy.max_prompt_chars:
        return rejected("too_long", detail=f"{count_chars(messages)} characters")
    prompt = new_prompt(messages, template)
    roots = sorted({int(c) for c in (row["chains"] or "").split(",") if c}) or [row["response_id"]]
    revised = row["turn_digest"], row["sample_no"], row["pinned_digest"]
    next_turns = [
        new_turn(
            prompt,
            row["kind"],
            row["number"] + 1,
            revision_digest(*revised, index),
            io_pair_id=row["io_pair_id"],
            sample_id=row["sample_id"],
            revises_response_id=row["response_id"],
            chain_response_id=root,
        )
        for index, root in enumerate(roots)
    ]
    pairs = [pair for turn in next_turns for pair in _pairs(turn, row["pairs"])]
    return done(*next_turns, *pairs, *new_calls(prompt, 1))


def _pairs(turn: NewRow, listed: str | None) -> list[NewRow]:
    """Return the pairs of the question as rows of its next turn: `truth` reads them by turn."""
    records = (r.split(FIELD_SEPARATOR) for r in (listed or "").split(RECORD_SEPARATOR) if r)
    return [
        NewRow(turn_pairs, {"turn_id": turn, "io_pair_id": int(pair_id), "role": role})
        for pair_id, role in records
    ]


STAGE = Stage(
    "revise",
    select_subjects,
    trigger=verdicts.c.id,
    run=run,
    writes=(prompts, turns, turn_pairs, calls),
    depends=("template_revise", "max_prompt_chars"),
    rescan_on=("max_turns",),
)
