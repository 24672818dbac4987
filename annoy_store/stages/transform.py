"""transform: ask a teacher to rewrite a source file into one function.

selects sources
does    fills in the transform prompt
writes  prompts, turns, calls
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from annoy_store.config import Policy
from annoy_store.db.tables import calls, prompts, sources, turns
from annoy_store.interfaces import Outcome, Row, Stage, StageContext, done, rejected
from annoy_store.prompts.template import load_template
from annoy_store.records.prompts import count_chars, prompt_rows
from annoy_store.records.queries import not_hidden


def select_subjects(_: Policy) -> Select[Any]:
    """Select the sources that are not taken down."""
    return select(sources.c.id.label("subject_id"), sources.c.digest, sources.c.content).where(
        not_hidden("source", sources.c.id)
    )


def run(row: Row, context: StageContext) -> Outcome:
    """Make the prompt, turn and calls of one source."""
    if not row["content"].strip():
        return rejected("empty")
    template = load_template(context.policy.template_transform)
    messages = template.render(code=row["content"])
    if count_chars(messages) > context.policy.max_prompt_chars:
        return rejected("too_long", detail=f"{count_chars(messages)} characters")
    return done(
        *prompt_rows(messages, template, "transform", 1, row["digest"], source_id=row["subject_id"])
    )


STAGE = Stage(
    "transform",
    select_subjects,
    trigger=sources.c.id,
    run=run,
    writes=(prompts, turns, calls),
    depends=("template_transform", "max_prompt_chars"),
)
