"""A row to read: its texts as blocks, and a chain with its turns side by side.

Decisions
- A row is told by its lineage: what it came from and what came of it, as `annoy show` knows it.
- Two answers stand side by side; lines that only one of them has are marked in it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, select

from annoy_store.analysis.lineage import Lineage, Node
from annoy_store.analysis.lineage_text import LONG, SUMMARY_COLUMNS
from annoy_store.analysis.random_row import ENDED_BADLY
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
from annoy_store.records.queries import answered_turns, current_verdicts

LANGUAGES = {
    "refcode": "python",
    "input_generator": "python",
    "input": "json",
    "output": "json",
    "predicted": "json",
    "got": "json",
}
UNTOLD = {"id", "template_digest"}
MOST_CHARS = 200_000
MOST_LINES = 2_000  # that are compared


@dataclass(frozen=True)
class Block:
    """A text with its name; `language` is that of its code, None for prose."""

    name: str
    text: str
    language: str | None = None


@dataclass(frozen=True)
class Told:
    """A row with its facts, its texts and how the work on it ended."""

    kind: str
    id: int
    facts: Sequence[tuple[str, Any]]
    blocks: Sequence[Block]
    jobs: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Leaf:
    """A row below another, in a line."""

    kind: str
    id: int
    gist: str
    depth: int
    jobs: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Line:
    text: str
    mark: str  # new, gone, or nothing


@dataclass(frozen=True)
class Answer:
    """One turn of a chain: the answer by lines, and what the checker said."""

    number: int
    turn_id: int
    response: Mapping[str, Any]
    lines: Sequence[Line]
    verdict: Mapping[str, Any] | None


@dataclass(frozen=True)
class Chain:
    """A question about a pair with all its answers."""

    id: int
    kind: str
    sample: Mapping[str, Any]
    pair: Mapping[str, Any]
    origin: Mapping[str, Any] | None
    answers: Sequence[Answer]


# A row ---------------------------------------------------------------------------------------


def told(node: Node) -> Told:
    """Return a row of a lineage as facts and blocks."""
    texts = LONG.get(node.kind, ())
    facts = [
        (key, value)
        for key, value in node.row.items()
        if key not in texts and key not in UNTOLD and value not in (None, "", "{}")
    ]
    if node.kind == "prompt":
        return Told(node.kind, node.id, facts, list(_messages(node.row["messages"])), node.jobs)
    blocks = [
        Block(name.replace("_", " "), _cut(node.row[name]), _language(name, node.row))
        for name in texts
        if node.row[name]
    ]
    return Told(node.kind, node.id, facts, blocks, node.jobs)


def _messages(text: str) -> list[Block]:
    return [Block(str(m.get("role", "?")), _cut(m.get("content", ""))) for m in json.loads(text)]


def _cut(text: object) -> str:
    words = str(text)
    left = len(words) - MOST_CHARS
    return words if left <= 0 else f"{words[:MOST_CHARS]}\n.. and {left:,} more characters"


def _language(name: str, row: Mapping[str, Any]) -> str | None:
    return str(row.get("language", "")) if name == "content" else LANGUAGES.get(name)


def tree(lineage: Lineage) -> list[Leaf]:
    """Return what came of a row, each line with its depth."""
    depth = {lineage.subject.key: -1}
    leaves = []
    for node in lineage.below:
        depth[node.key] = level = depth[node.parent or lineage.subject.key] + 1
        words = (node.row.get(key) for key in SUMMARY_COLUMNS.get(node.kind, ()))
        gist = " ".join(" ".join(str(w).split())[:80] for w in words if w not in (None, ""))
        leaves.append(Leaf(node.kind, node.id, gist, level, node.jobs))
    return leaves


def turned_down(
    connection: Connection, stage: str, reason: str, before: int | None, most: int
) -> list[Mapping[str, Any]]:
    """Return jobs that ended badly for one reason, by falling subject, along the partial index."""
    chosen = select(jobs.c.subject_id, jobs.c.state, jobs.c.attempts, jobs.c.detail).where(
        ENDED_BADLY, jobs.c.stage == stage, jobs.c.reason == reason
    )
    if before is not None:
        chosen = chosen.where(jobs.c.subject_id < before)
    ordered = chosen.order_by(jobs.c.subject_id.desc()).limit(most)
    return [dict(row) for row in connection.execute(ordered).mappings()]


# A chain -------------------------------------------------------------------------------------

_asked = answered_turns()
_revised = turns.join(calls, calls.c.prompt_id == turns.c.prompt_id).join(
    responses, responses.c.call_id == calls.c.id
)


def chain_of(connection: Connection, response_id: int) -> int | None:
    """Return the chain that a response belongs to; None for an answer to no prediction."""
    chosen = select(turns.c.io_pair_id, turns.c.chain_response_id).select_from(_asked)
    row = connection.execute(chosen.where(responses.c.id == response_id)).first()
    if row is None or row.io_pair_id is None:
        return None
    return int(row.chain_response_id or response_id)


def read_chain(connection: Connection, chain_id: int) -> Chain | None:
    """Return a chain with its sample, its pair and every answer in order; None if there is none."""
    first = _answers(connection, _asked, responses.c.id == chain_id)
    if not first or first[0]["io_pair_id"] is None:
        return None
    about = turns.c.io_pair_id == first[0]["io_pair_id"]
    later = _answers(connection, _revised, (turns.c.chain_response_id == chain_id) & about)
    pair = _one(connection, io_pairs, io_pairs.c.id == first[0]["io_pair_id"])
    sample = _one(connection, samples, samples.c.id == pair["sample_id"])
    both = [*first, *later]
    texts = [str(row["text"]).splitlines() for row in both]
    judged = _verdicts(connection, [row["id"] for row in both])
    answers = [
        Answer(row["number"], row["turn_id"], row, _marked(i, texts), judged.get(row["id"]))
        for i, row in enumerate(both)
    ]
    return Chain(
        chain_id, both[0]["kind"], sample, pair, _origin(connection, sample["id"]), answers
    )


def _answers(
    connection: Connection, asked: FromClause, where: ColumnElement[bool]
) -> list[dict[str, Any]]:
    chosen = (
        select(
            responses,
            turns.c.id.label("turn_id"),
            turns.c.kind,
            turns.c.number,
            turns.c.io_pair_id,
            turns.c.prompt_id,
            teachers.c.model,
        )
        .select_from(asked.join(teachers, teachers.c.id == responses.c.teacher_id))
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


def _marked(i: int, texts: Sequence[Sequence[str]]) -> list[Line]:
    """The lines of one answer, marked where the answer beside it has no such line."""
    mine = texts[i]
    if len(texts) < 2 or max(map(len, texts)) > MOST_LINES:
        return [Line(text, "") for text in mine]
    other, mark = (texts[1], "gone") if i == 0 else (texts[i - 1], "new")
    matcher = difflib.SequenceMatcher(None, mine, other, autojunk=False)
    kept = {b.a + k for b in matcher.get_matching_blocks() for k in range(b.size)}
    return [Line(text, "" if n in kept else mark) for n, text in enumerate(mine)]
