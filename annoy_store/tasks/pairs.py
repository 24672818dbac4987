"""Shared by the tasks about single I/O pairs: the selected pairs, and their ground truth."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, select

from annoy_store.config import Policy
from annoy_store.db.tables import io_pairs, pair_checks, samples, turns
from annoy_store.interfaces import Question, Row
from annoy_store.records.digests import pair_digest
from annoy_store.records.queries import current_check, not_hidden


def select_pairs(policy: Policy, *columns: ColumnElement[Any]) -> Select[Any]:
    """Select the first `pairs_per_sample` stable pairs of every sample.

    Args:
        policy: The policy of the store.
        *columns: Further columns that the task's `render` reads.

    Returns:
        A SELECT with `subject_id` (of the pair), the values of a question, and `columns`.
    """
    return (
        select(
            io_pairs.c.id.label("subject_id"),
            io_pairs.c.sample_id,
            io_pairs.c.input_digest,
            io_pairs.c.input,
            io_pairs.c.output,
            samples.c.digest.label("sample_digest"),
            samples.c.problem_statement,
            samples.c.io_requirements,
            samples.c.refcode,
            *columns,
        )
        .select_from(pair_checks)
        .join(io_pairs, io_pairs.c.id == pair_checks.c.io_pair_id)
        .join(samples, samples.c.id == io_pairs.c.sample_id)
        .where(
            pair_checks.c.status == "stable",
            pair_checks.c.id == current_check(),
            io_pairs.c.position < policy.pairs_per_sample,
            not_hidden("sample", io_pairs.c.sample_id),
        )
    )


def pair_question(row: Row, given: str) -> Question:
    """Return the question about one pair that shows its `given` side, `input` or `output`."""
    return Question(
        values={
            "problem": row["problem_statement"],
            "io": row["io_requirements"],
            "code": row["refcode"],
            given: row[given],
        },
        about=pair_digest(row["sample_digest"], row["input_digest"]),
        sample_id=row["sample_id"],
        io_pair_id=row["subject_id"],
    )


def pair_truth() -> Select[Any]:
    """Select the ground truth for answers about a pair: one row per turn."""
    return (
        select(
            turns.c.id.label("turn_id"),
            samples.c.refcode.label("code"),
            samples.c.funcname,
            io_pairs.c.input,
            io_pairs.c.output,
        )
        .select_from(turns)
        .join(io_pairs, io_pairs.c.id == turns.c.io_pair_id)
        .join(samples, samples.c.id == io_pairs.c.sample_id)
    )
