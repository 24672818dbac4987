"""The content of a row's page, and of a chain's page with its turns side by side.

Decisions
- A row is shown with its lineage, by the same rules as in `annoy show`.
- Answers of a chain are shown side by side; words that only one of two answers has are marked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, select

from annoy_store.analysis.lineage import Lineage, Node
from annoy_store.analysis.random_row import IS_FAILED
from annoy_store.analysis.row_columns import (
    SUMMARY_COLUMNS,
    TEXT_COLUMNS,
    language_of,
    visible_facts,
)
from annoy_store.analysis.task_titles import question_titles
from annoy_store.db.tables import (
    calls,
    io_pairs,
    jobs,
    origins,
    responses,
    sample_origins,
    samples,
    teachers,
    turns,
    verdicts,
)
from annoy_store.records.annotations import Annotation, marks_of
from annoy_store.records.queries import answered_turns, current_verdicts
from annoy_store.web.differences import DiffPart, marked_parts

MAX_CHARS = 200_000


@dataclass(frozen=True)
class Block:
    """A text with a heading; `language` is that of code, as Pygments names it, '' for prose."""

    name: str
    text: str
    language: str = ""


@dataclass(frozen=True)
class RowView:
    """A row: its short columns, its texts, the jobs about it, and its marks."""

    kind: str
    id: int
    facts: Sequence[tuple[str, Any]]
    blocks: Sequence[Block]
    jobs: Sequence[Mapping[str, Any]] = ()
    marks: Sequence[Annotation] = ()


@dataclass(frozen=True)
class TreeRow:
    """A descendant in one line; `depth` counts from 0."""

    kind: str
    id: int
    summary: str
    depth: int
    jobs: Sequence[Mapping[str, Any]]
    marks: Sequence[Annotation] = ()


@dataclass(frozen=True)
class TurnView:
    """One turn of a chain: the answer in pieces, and its current verdict."""

    number: int
    turn_id: int
    response: Mapping[str, Any]
    parts: Sequence[DiffPart]
    verdict: Mapping[str, Any] | None


@dataclass(frozen=True)
class ChainView:
    """A question about a sample, or about one of its I/O pairs, with all its answers.

    Attributes:
        id: Id of the chain, that of its first answer.
        kind: Name of the task.
        title: Title of the task.
        sample: The sample.
        pair: The I/O pair; None if the question is not about one.
        origin: Where the sample's source comes from; None if unknown.
        answers: The turns in order.
    """

    id: int
    kind: str
    title: str
    sample: Mapping[str, Any]
    pair: Mapping[str, Any] | None
    origin: Mapping[str, Any] | None
    answers: Sequence[TurnView]


# A row ---------------------------------------------------------------------------------------


def build_row_view(node: Node) -> RowView:
    """Return a row of a lineage as facts and blocks of text."""
    facts = visible_facts(node.kind, node.row)
    if node.kind == "prompt":
        messages = list(_messages(node.row["messages"]))
        return RowView(node.kind, node.id, facts, messages, node.jobs, node.marks)
    blocks = [
        Block(name.replace("_", " "), _truncate(node.row[name]), language_of(name, node.row))
        for name in TEXT_COLUMNS.get(node.kind, ())
        if node.row[name]
    ]
    return RowView(node.kind, node.id, facts, blocks, node.jobs, node.marks)


def _messages(text: str) -> list[Block]:
    return [
        Block(str(m.get("role", "?")), _truncate(m.get("content", ""))) for m in json.loads(text)
    ]


def _truncate(value: object) -> str:
    text = str(value)
    omitted = len(text) - MAX_CHARS
    return text if omitted <= 0 else f"{text[:MAX_CHARS]}\n.. and {omitted:,} more characters"


def descendant_rows(lineage: Lineage) -> list[TreeRow]:
    """Return the descendants of a row as a tree, in depth-first order."""
    return [
        TreeRow(node.kind, node.id, _summary(node), depth, node.jobs, node.marks)
        for depth, node in lineage.tree()
    ]


def _summary(node: Node) -> str:
    values = (node.row.get(name) for name in SUMMARY_COLUMNS.get(node.kind, ()))
    return " ".join(" ".join(str(v).split())[:80] for v in values if v not in (None, ""))


def failed_jobs(
    connection: Connection, stage: str, reason: str, before: int | None, most: int
) -> list[Mapping[str, Any]]:
    """Return rejected and failed jobs of one stage and reason, by falling subject.

    Args:
        connection: A connection to the store.
        stage: Name of the stage.
        reason: Reason of the jobs.
        before: Return only subjects below this id; None for all.
        most: Largest number of jobs.
    """
    chosen = select(jobs.c.subject_id, jobs.c.state, jobs.c.attempts, jobs.c.detail).where(
        IS_FAILED, jobs.c.stage == stage, jobs.c.reason == reason
    )
    if before is not None:
        chosen = chosen.where(jobs.c.subject_id < before)
    ordered = chosen.order_by(jobs.c.subject_id.desc()).limit(most)
    return [dict(row) for row in connection.execute(ordered).mappings()]


# A chain -------------------------------------------------------------------------------------

_answered = answered_turns()
_revised = turns.join(calls, calls.c.prompt_id == turns.c.prompt_id).join(
    responses, responses.c.call_id == calls.c.id
)


def chain_of(connection: Connection, response_id: int) -> int | None:
    """Return the id of the chain that a response belongs to; None if it belongs to none."""
    chosen = select(turns.c.sample_id, turns.c.chain_response_id).select_from(_answered)
    row = connection.execute(chosen.where(responses.c.id == response_id)).first()
    if row is None or row.sample_id is None:
        return None
    return int(row.chain_response_id or response_id)


def read_chain(connection: Connection, chain_id: int) -> ChainView | None:
    """Return a chain with its sample, its pair and its answers; None if there is no such chain."""
    first = _answers(connection, _answered, responses.c.id == chain_id)
    if not first or first[0]["sample_id"] is None:
        return None
    pair_id = first[0]["io_pair_id"]
    about = turns.c.io_pair_id.is_not_distinct_from(pair_id)
    later = _answers(connection, _revised, (turns.c.chain_response_id == chain_id) & about)
    pair = None if pair_id is None else _one(connection, io_pairs, io_pairs.c.id == pair_id)
    sample = _one(connection, samples, samples.c.id == first[0]["sample_id"])
    rows = [*first, *later]
    kind = rows[0]["kind"]
    texts = [str(row["text"]) for row in rows]
    verdict_of = _verdicts(connection, [row["id"] for row in rows])
    answers = [
        TurnView(row["number"], row["turn_id"], row, _parts(i, texts), verdict_of.get(row["id"]))
        for i, row in enumerate(rows)
    ]
    origin = _origin(connection, sample["id"])
    title = question_titles().get(kind, kind)
    return ChainView(chain_id, kind, title, sample, pair, origin, answers)


def marks_of_chain(
    connection: Connection, chain: ChainView
) -> dict[tuple[str, int], list[Annotation]]:
    """Return the marks of a chain and of its answers, by kind and id."""
    ids = {"chain": [chain.id], "response": [answer.response["id"] for answer in chain.answers]}
    return {
        (kind, key): held
        for kind, some in ids.items()
        for key, held in marks_of(connection, kind, some).items()
    }


def _answers(
    connection: Connection, answered: FromClause, where: ColumnElement[bool]
) -> list[dict[str, Any]]:
    chosen = (
        select(
            responses,
            turns.c.id.label("turn_id"),
            turns.c.kind,
            turns.c.number,
            turns.c.sample_id,
            turns.c.io_pair_id,
            turns.c.prompt_id,
            teachers.c.model,
        )
        .select_from(answered.join(teachers, teachers.c.id == responses.c.teacher_id))
        .where(where)
        .order_by(turns.c.number, responses.c.id)
    )
    return [dict(row) for row in connection.execute(chosen).mappings()]


def _one(connection: Connection, of: Any, where: ColumnElement[bool]) -> dict[str, Any]:
    return dict(connection.execute(select(of).where(where)).mappings().one())


def _origin(connection: Connection, sample_id: int) -> Mapping[str, Any] | None:
    made = sample_origins.join(origins, origins.c.source_id == sample_origins.c.source_id)
    chosen = select(origins).select_from(made).where(sample_origins.c.sample_id == sample_id)
    row = connection.execute(chosen.order_by(origins.c.id).limit(1)).mappings().first()
    return dict(row) if row else None


def _verdicts(connection: Connection, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    current = select(current_verdicts.c.id).where(current_verdicts.c.response_id.in_(ids))
    found = connection.execute(select(verdicts).where(verdicts.c.id.in_(current))).mappings()
    return {row["response_id"]: dict(row) for row in found}


def _parts(i: int, texts: Sequence[str]) -> list[DiffPart]:
    """Return an answer, marked where the answer beside it differs."""
    if i:
        return marked_parts(texts[i], texts[i - 1], "new")
    return marked_parts(texts[0], texts[1] if len(texts) > 1 else None, "gone")
