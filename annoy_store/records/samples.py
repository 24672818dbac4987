"""The rows of samples and of where they came from: how they are built and identified."""

from __future__ import annotations

from typing import Any

from annoy_store.db.tables import sample_origins, samples
from annoy_store.hashing import digest
from annoy_store.interfaces import NewRow

FUNCNAME = "main_solution"


NO_ORIGIN: dict[str, Any] = {
    "response_id": None,
    "source_id": None,
    "variant_id": None,
    "origin": None,
    "line": None,
    "metadata": None,
}


def new_sample(
    refcode: str, funcname: str, problem: str, io_requirements: str, generator: str | None
) -> NewRow:
    """The row of a sample; equal content is one row, whoever wrote it."""
    content = (refcode, funcname, problem, io_requirements, generator)
    return NewRow(
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


def new_origin(sample: NewRow, about: str, **columns: Any) -> NewRow:
    """Where a sample came from; `about` is the digest of its source, or an origin's name."""
    named = origin_digest(sample.values["digest"], about)
    return NewRow(sample_origins, {"digest": named, "sample_id": sample} | NO_ORIGIN | columns)


def origin_digest(sample: str, about: str) -> str:
    """The identity of a sample's origin, of the digest of the sample and what it came from."""
    return digest("sample_origin", sample, about)
