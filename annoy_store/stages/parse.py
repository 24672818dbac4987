"""parse: take the sample out of a transform answer.

wants   responses to transform turns
does    finds the four sections, checks that the code compiles and names its two functions
writes  samples, sample_origins
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from annoy_store import parsing
from annoy_store.contracts import New, Outcome, Row, Stage, Tools, done, rejected
from annoy_store.identity import digest
from annoy_store.settings import Policy
from annoy_store.tables import responses, sample_origins, samples, sources, turns
from annoy_store.wanting import answered_turns, not_hidden

FUNCNAME = "main_solution"
NOWHERE: dict[str, Any] = {
    "response_id": None, "source_id": None, "variant_id": None, "origin": None, "line": None,
    "metadata": None,
}  # fmt: skip


def wants(_: Policy) -> Select[Any]:
    """Every response to a transform turn whose source is not taken down."""
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


def work(row: Row, tools: Tools) -> Outcome:
    """Parse one answer."""
    found = parsing.sections(row["text"])
    if isinstance(found, parsing.Fault):
        truncated = row["finish_reason"] == "length"
        return rejected("truncated" if truncated else found.reason, detail=found.detail or None)
    sample = new_sample(
        found.refcode, FUNCNAME, found.problem_statement, found.io_requirements,
        found.input_generator,
    )  # fmt: skip
    origin = new_origin(
        sample,
        row["source_digest"],
        response_id=row["subject_id"],
        source_id=row["source_id"],
        variant_id=tools.variant_id,
    )
    return done(origin)


def new_sample(
    refcode: str, funcname: str, problem: str, io_requirements: str, generator: str | None
) -> New:
    """The row of a sample; equal content is one row, whoever wrote it."""
    content = (refcode, funcname, problem, io_requirements, generator)
    return New(
        samples,
        {
            "digest": digest("sample", *content),
            "funcname": funcname,
            "problem_statement": problem,
            "io_requirements": io_requirements,
            "refcode": refcode,
            "input_generator": generator,
        },
    )


def new_origin(sample: New, about: str, **columns: Any) -> New:
    """Where a sample came from; `about` is the digest of its source, or an origin's name."""
    named = origin_digest(sample.values["digest"], about)
    return New(sample_origins, {"digest": named, "sample_id": sample} | NOWHERE | columns)


def origin_digest(sample: str, about: str) -> str:
    """The identity of a sample's origin, of the digest of the sample and what it came from."""
    return digest("sample_origin", sample, about)


STAGE = Stage(
    "parse",
    wants,
    watches=responses.c.id,
    work=work,
    writes=(samples, sample_origins),
    version=parsing.VERSION,
)
