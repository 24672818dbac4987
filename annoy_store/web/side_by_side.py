"""Tables of answers: all answers to one prompt, and the verdicts on a sample's questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, column, select, table

from annoy_store.db.tables import attempts, calls, responses, teachers, verdicts
from annoy_store.records.queries import current_pairs, current_verdicts

MAX_ANSWERS = 24
MAX_PAIRS = 200
MAX_CELLS = 5_000

_answers = table(
    "v_answers",
    *map(
        column, ("kind", "number", "sample_id", "io_pair_id", "response_id", "chain_id", "status")
    ),
)


@dataclass(frozen=True)
class QuestionTable:
    """The verdicts on a sample: one row per I/O pair, one column per question and turn.

    Attributes:
        columns: Question and number of the turn.
        rows: The pair (None for questions about no single pair), and by column its verdicts.
        omitted: Number of pairs that are not shown.
    """

    columns: Sequence[tuple[str, int]]
    rows: Sequence[tuple[Mapping[str, Any] | None, Sequence[Sequence[Mapping[str, Any]]]]]
    omitted: int


def answers_to(connection: Connection, prompt_id: int) -> list[dict[str, Any]]:
    """Return the answers to a prompt with model, verdict, tokens and latency, by model.

    Args:
        connection: A connection to the store.
        prompt_id: Id of the prompt.
    """
    joined = (
        responses.join(calls, calls.c.id == responses.c.call_id)
        .join(teachers, teachers.c.id == responses.c.teacher_id)
        .join(current_verdicts, current_verdicts.c.response_id == responses.c.id, isouter=True)
        .join(verdicts, verdicts.c.id == current_verdicts.c.id, isouter=True)
        .join(
            attempts,
            (attempts.c.call_id == calls.c.id) & (attempts.c.status == "ok"),
            isouter=True,
        )
    )
    chosen = (
        select(
            responses.c.id,
            responses.c.text,
            responses.c.reasoning,
            responses.c.finish_reason,
            calls.c.sample_no,
            teachers.c.model,
            verdicts.c.status,
            verdicts.c.mismatch,
            verdicts.c.predicted,
            attempts.c.completion_tokens,
            attempts.c.latency_ms,
        )
        .select_from(joined)
        .where(calls.c.prompt_id == prompt_id)
        .order_by(teachers.c.model, calls.c.sample_no, responses.c.id)
        .limit(MAX_ANSWERS)
    )
    return [dict(row) for row in connection.execute(chosen).mappings()]


def question_table(connection: Connection, sample_id: int) -> QuestionTable:
    """Return the verdicts on a sample's questions.

    Args:
        connection: A connection to the store.
        sample_id: Id of the sample.
    """
    pairs = current_pairs.c
    chosen = select(pairs.id, pairs.position, pairs.status, pairs.input, pairs.output)
    of_sample = chosen.where(pairs.sample_id == sample_id).order_by(pairs.position, pairs.id)
    found = [dict(row) for row in connection.execute(of_sample.limit(MAX_PAIRS + 1)).mappings()]
    asked = select(_answers).where(_answers.c.sample_id == sample_id)
    asked = asked.order_by(_answers.c.response_id).limit(MAX_CELLS)
    cells: dict[tuple[int | None, tuple[str, int]], list[Mapping[str, Any]]] = {}
    for row in connection.execute(asked).mappings():
        cells.setdefault((row["io_pair_id"], (row["kind"], row["number"])), []).append(dict(row))
    columns = sorted({key for _, key in cells})
    shown: list[Mapping[str, Any] | None] = [*found[:MAX_PAIRS]]
    if any(pair is None for pair, _ in cells):
        shown.append(None)
    rows = [
        (pair, [cells.get((pair["id"] if pair else None, key), []) for key in columns])
        for pair in shown
    ]
    return QuestionTable(columns, rows, len(found) - len(found[:MAX_PAIRS]))
