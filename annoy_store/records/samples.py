"""Builds the rows of samples and of their origins."""

from __future__ import annotations

from typing import Any

from annoy_store.db.tables import sample_origins, samples
from annoy_store.interfaces import NewRow
from annoy_store.records.digests import sample_digest, sample_origin_digest

FUNCNAME = "main_solution"  # the function that a sample defines

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
    """Return the row of a sample; equal content is one row, wherever it comes from.

    Args:
        refcode: source of the module.
        funcname: the function in it to call.
        problem: the problem statement.
        io_requirements: the description of inputs and outputs.
        generator: source of the input generator, if there is one.
    """
    content = {
        "funcname": funcname,
        "problem_statement": problem,
        "io_requirements": io_requirements,
        "refcode": refcode,
        "input_generator": generator,
    }
    return NewRow(samples, {"digest": sample_digest(content), **content})


def new_origin(sample: NewRow, about: str, **columns: Any) -> NewRow:
    """Return the row of a sample's origin.

    Args:
        sample: the row of the sample.
        about: the digest of its source, or the name of its origin.
        columns: the columns that are known; the others are null.
    """
    row_digest = sample_origin_digest(sample.values["digest"], about)
    return NewRow(sample_origins, {"digest": row_digest, "sample_id": sample} | NO_ORIGIN | columns)
