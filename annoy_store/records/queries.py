"""Parts of the SELECTs of stages, exports and reports: which rows are current."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    ScalarSelect,
    Select,
    String,
    Text,
    cast,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    table,
)

from annoy_store.db.sql import in_values
from annoy_store.db.states import CHECK_STATUSES
from annoy_store.db.tables import (
    calls,
    hidden_subjects,
    io_pairs,
    responses,
    turn_pairs,
    turns,
    verdicts,
)

FIELD_SEPARATOR, RECORD_SEPARATOR = "\x1f", "\x1e"  # JSON escapes them


def not_hidden(kind: str, subject: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a subject has not been taken down.

    Args:
        kind: `source` or `sample`.
        subject: the column with its id.
    """
    return ~exists().where(hidden_subjects.c.kind == kind, hidden_subjects.c.subject_id == subject)


def first_turn_of(prompt_id: ColumnElement[Any]) -> ScalarSelect[Any]:
    """Return the id of the first turn of a prompt, which has the prompt's kind and subject."""
    return (
        select(func.min(turns.c.id))
        .where(turns.c.prompt_id == prompt_id)
        .correlate(calls)
        .scalar_subquery()
    )


def answered_turns() -> FromClause:
    """Return responses joined with their call and the first turn of its prompt."""
    return responses.join(calls, calls.c.id == responses.c.call_id).join(
        turns, turns.c.id == first_turn_of(calls.c.prompt_id)
    )


def joined_records(*columns: ColumnElement[Any]) -> ColumnElement[str]:
    """Return an aggregate of rows as one text, which `split_records` reads.

    Args:
        columns: texts without control characters, such as JSON, or numbers.
    """
    texts: list[ColumnElement[str]] = [cast(c, String) for c in columns]
    record = reduce(lambda text, part: text + literal(FIELD_SEPARATOR) + part, texts)
    return func.aggregate_strings(record, RECORD_SEPARATOR)


def split_records(text: str | None) -> list[list[str]]:
    """Return the fields of the rows in a text of `joined_records`, which is None for no rows."""
    return [r.split(FIELD_SEPARATOR) for r in (text or "").split(RECORD_SEPARATOR) if r]


current_pairs = table(
    "v_current_pairs",
    column("id", BigInteger),
    column("sample_id", BigInteger),
    column("position", BigInteger),
    column("seed", BigInteger),
    column("input_digest", Text),
    column("status", Text),
    column("lines_executed", BigInteger),
    column("shown", Text),
    column("check_id", BigInteger),
    column("input", Text),
    column("output", Text),
)
"""The view of I/O pairs with their current check."""

current_verdicts = table(
    "v_current_verdicts",
    column("id", BigInteger),
    column("response_id", BigInteger),
    column("status", Text),
    column("mismatch", Text),
)
"""The view of one verdict per judged response."""


def current_check(pairs: FromClause = io_pairs) -> ScalarSelect[Any]:
    """Return the id of a pair's current check, as the view says.

    Args:
        pairs: the table of pairs, or an alias of it, in the FROM of the enclosing SELECT.
    """
    current = select(current_pairs.c.check_id).where(current_pairs.c.id == pairs.c.id)
    return current.correlate(pairs).scalar_subquery()


def is_refuted(prompt_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a later check refuted a pair that a prompt asks about.

    No export takes an answer about such a pair. A pair that was never checked is not refuted.

    Args:
        prompt_id: the column with the id of the prompt, in the FROM of the enclosing SELECT.
    """
    of_prompt = turns.c.prompt_id == prompt_id
    single = select(turns.c.io_pair_id).where(of_prompt, turns.c.io_pair_id.is_not(None))
    several = select(turn_pairs.c.io_pair_id).where(
        turn_pairs.c.turn_id.in_(select(turns.c.id).where(of_prompt).correlate(calls))
    )
    asked = or_(*(current_pairs.c.id.in_(pairs.correlate(calls)) for pairs in (single, several)))
    refuting = [status for status in CHECK_STATUSES if status != "stable"]
    return exists().where(asked, current_pairs.c.status.in_(refuting))


def current_verdict() -> ScalarSelect[Any]:
    """Return the id of the current verdict on the answer of one in `verdicts`, as the view says."""
    same_answer = current_verdicts.c.response_id == verdicts.c.response_id
    return select(current_verdicts.c.id).where(same_answer).correlate(verdicts).scalar_subquery()


def stable_pairs(connection: Connection, sample_ids: Sequence[int]) -> Select[int, str, str, str]:
    """Return the SELECT of the stable pairs of samples, in their order.

    Args:
        connection: the connection that will run it.
        sample_ids: ids of the samples.

    Returns:
        Sample id, input and output as JSON, and the input's digest.
    """
    pairs = current_pairs.c
    return (
        select(pairs.sample_id, pairs.input, pairs.output, pairs.input_digest)
        .where(in_values(connection, pairs.sample_id, sample_ids), pairs.status == "stable")
        .order_by(pairs.sample_id, pairs.position, pairs.input_digest)
    )
