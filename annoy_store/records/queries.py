"""Parts of the SELECTs by which stages say what they want."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    ScalarSelect,
    Select,
    Text,
    column,
    exists,
    func,
    select,
    table,
)

from annoy_store.db.sql import in_values
from annoy_store.db.tables import (
    calls,
    hidden_subjects,
    io_pairs,
    pair_checks,
    responses,
    turns,
    variants,
)


def not_hidden(kind: str, subject: ColumnElement[Any]) -> ColumnElement[bool]:
    """The subject (`source` or `sample`) has not been taken down."""
    return ~exists().where(hidden_subjects.c.kind == kind, hidden_subjects.c.subject_id == subject)


def first_turn_of(prompt_id: ColumnElement[Any]) -> ScalarSelect[Any]:
    """The first turn that asked a prompt: it tells the kind, and what the prompt is about."""
    return (
        select(func.min(turns.c.id))
        .where(turns.c.prompt_id == prompt_id)
        .correlate(calls)
        .scalar_subquery()
    )


def answered_turns() -> FromClause:
    """Responses with their call and the first turn that asked it."""
    return responses.join(calls, calls.c.id == responses.c.call_id).join(
        turns, turns.c.id == first_turn_of(calls.c.prompt_id)
    )


def current_check() -> ScalarSelect[Any]:
    """The id of a pair's current check: the active variant's, else the newest."""
    other = pair_checks.alias("other_check")
    return (
        select(other.c.id)
        .join(variants, variants.c.id == other.c.variant_id)
        .where(other.c.io_pair_id == io_pairs.c.id)
        .order_by(variants.c.active.desc(), variants.c.id.desc())
        .limit(1)
        .correlate(io_pairs)
        .scalar_subquery()
    )


_current_pairs = table(
    "v_current_pairs",
    column("sample_id", BigInteger),
    column("position", BigInteger),
    column("input_digest", Text),
    column("status", Text),
    column("input", Text),
    column("output", Text),
)


def stable_pairs(connection: Connection, sample_ids: Sequence[int]) -> Select[int, str, str, str]:
    """Sample id, input, output and the input's digest of pairs that hold, by sample, in order."""
    pairs = _current_pairs.c
    return (
        select(pairs.sample_id, pairs.input, pairs.output, pairs.input_digest)
        .where(in_values(connection, pairs.sample_id, sample_ids), pairs.status == "stable")
        .order_by(pairs.sample_id, pairs.position, pairs.input_digest)
    )
