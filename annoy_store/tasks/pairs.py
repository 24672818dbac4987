"""Shared by the tasks about single I/O pairs: the selected pairs, and their ground truth.

Decision: a pair whose answer stands in the question (`pair_checks.shown`, see shown.py) is not asked
about, and the next one takes its place. Its job is rejected, so that such pairs are counted.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, func, or_, select

from annoy_store.config import Policy
from annoy_store.db.tables import io_pairs, pair_checks, samples, turns
from annoy_store.interfaces import Question, Row
from annoy_store.records.digests import pair_digest
from annoy_store.records.queries import current_check, not_hidden


def select_pairs(
    policy: Policy, *columns: ColumnElement[Any], revealing: Collection[str]
) -> Select[Any]:
    """Select the first `pairs_per_sample` stable pairs of every sample that can be asked about.

    Args:
        policy: The policy of the store.
        *columns: Further columns that the task's `render` reads.
        revealing: The values of `shown` of pairs whose answer stands in the question.

    Returns:
        A SELECT with `subject_id` (of the pair), the values of a question, and `columns`; between
        those pairs are the ones that cannot be asked about, marked by `answer_shown`.
    """
    earlier, is_askable = askable_earlier(revealing)
    rank = select(func.count()).select_from(earlier).where(is_askable).correlate(io_pairs)
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
            pair_checks.c.shown.in_(revealing).label("answer_shown"),
            *columns,
        )
        .select_from(
            pair_checks.join(io_pairs, io_pairs.c.id == pair_checks.c.io_pair_id).join(
                samples, samples.c.id == io_pairs.c.sample_id
            )
        )
        .where(
            pair_checks.c.status == "stable",
            pair_checks.c.shown.is_not(None),
            pair_checks.c.id == current_check(),
            rank.scalar_subquery() < policy.pairs_per_sample,
            not_hidden("sample", io_pairs.c.sample_id),
        )
    )


def askable_earlier(revealing: Collection[str]) -> tuple[FromClause, ColumnElement[bool]]:
    """Return the earlier pairs of a pair's sample, and the condition that they can be asked about.

    Args:
        revealing: The values of `shown` of pairs that cannot.

    Returns:
        Pairs joined with their checks, and a condition that refers to `io_pairs`.
    """
    earlier, check = io_pairs.alias("earlier"), pair_checks.alias("earlier_check")
    comes_first = or_(
        earlier.c.position < io_pairs.c.position,
        and_(
            earlier.c.position == io_pairs.c.position,
            earlier.c.input_digest < io_pairs.c.input_digest,
        ),
    )
    is_askable = and_(
        earlier.c.sample_id == io_pairs.c.sample_id,
        comes_first,
        check.c.id == current_check(earlier),
        check.c.status == "stable",
        check.c.shown.not_in(revealing),
    )
    return earlier.join(check, check.c.io_pair_id == earlier.c.id), is_askable


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
