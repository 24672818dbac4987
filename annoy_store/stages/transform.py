"""transform: ask a teacher to rewrite a raw file into one function.

wants   sources
does    words the transform prompt
writes  prompts, turns, calls
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from annoy_store.config import Policy
from annoy_store.db.tables import calls, prompts, sources, turns
from annoy_store.interfaces import Outcome, Row, Stage, Tools, done, rejected
from annoy_store.prompts.template import load
from annoy_store.records.prompts import ask, n_chars
from annoy_store.records.queries import not_hidden


def wants(_: Policy) -> Select[Any]:
    """Every source that is not taken down."""
    return select(sources.c.id.label("subject_id"), sources.c.digest, sources.c.content).where(
        not_hidden("source", sources.c.id)
    )


def work(row: Row, tools: Tools) -> Outcome:
    """Word the prompt of one source."""
    if not row["content"].strip():
        return rejected("empty")
    template = load(tools.policy.template_transform)
    messages = template.words(code=row["content"])
    if n_chars(messages) > tools.policy.max_prompt_chars:
        return rejected("too_long", detail=f"{n_chars(messages)} characters")
    return done(
        *ask(messages, template, "transform", 1, row["digest"], source_id=row["subject_id"])
    )


STAGE = Stage(
    "transform",
    wants,
    watches=sources.c.id,
    work=work,
    writes=(prompts, turns, calls),
    depends=("template_transform", "max_prompt_chars"),
)
