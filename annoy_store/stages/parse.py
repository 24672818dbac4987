"""parse: extract the sample from an answer to a transform prompt.

selects responses to transform turns
does    finds the four sections, checks the two pieces of code, takes tests and doctests out
writes  samples, sample_origins

Decision: tests and doctests show answers, so they are removed where the code's meaning stays the
same; what remains of examples is found when pairs are checked (tasks/shown.py).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from annoy_store.config import Policy
from annoy_store.db.tables import responses, sample_origins, samples, sources, turns
from annoy_store.interfaces import Outcome, Row, Stage, StageContext, done, rejected
from annoy_store.parsing import sections, strip_tests
from annoy_store.parsing.finish_reasons import is_cut_off
from annoy_store.records.queries import answered_turns, not_hidden
from annoy_store.records.samples import FUNCNAME, new_origin, new_sample


def select_subjects(_: Policy) -> Select[Any]:
    """Select the responses to transform turns whose source is not taken down."""
    return (
        select(
            responses.c.id.label("subject_id"),
            responses.c.finish_reason,
            responses.c.text,
            turns.c.source_id,
            sources.c.digest.label("source_digest"),
        )
        .select_from(answered_turns().join(sources, sources.c.id == turns.c.source_id))
        .where(turns.c.kind == "transform", not_hidden("source", turns.c.source_id))
    )


def run(row: Row, context: StageContext) -> Outcome:
    """Parse one answer; if it has no sample, reject it with the parser's reason."""
    found = sections.parse_sections(row["text"])
    if isinstance(found, sections.ParseFailure):
        reason = "truncated" if is_cut_off(row["finish_reason"]) else found.reason
        return rejected(reason, detail=found.detail or None)
    sample = new_sample(
        strip_tests.without_tests(found.refcode, FUNCNAME, found.input_generator),
        FUNCNAME,
        found.problem_statement,
        found.io_requirements,
        found.input_generator,
    )
    origin = new_origin(
        sample,
        row["source_digest"],
        response_id=row["subject_id"],
        source_id=row["source_id"],
        variant_id=context.variant_id,
    )
    return done(origin)


STAGE = Stage(
    "parse",
    select_subjects,
    trigger=responses.c.id,
    run=run,
    writes=(samples, sample_origins),
    version=f"sections {sections.VERSION}, tests removed {strip_tests.VERSION}",
)
