"""The store as a graph: kinds of rows, and the edges from origins to exports.

Decision: an edge is one SELECT of (up, down) ids that is read in both directions, so a relation
that is visible from one side is visible from the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, FromClause, Select, Table, select, union_all

from annoy_store.db.tables import (
    calls,
    executions,
    export_rows,
    exports,
    io_pairs,
    origins,
    pair_checks,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    teachers,
    turn_pairs,
    turns,
    verdicts,
)

TABLES: dict[str, Table] = {
    "origin": origins,
    "source": sources,
    "turn": turns,
    "prompt": prompts,
    "teacher": teachers,
    "call": calls,
    "response": responses,
    "sample": samples,
    "execution": executions,
    "io_pair": io_pairs,
    "pair_check": pair_checks,
    "verdict": verdicts,
    "export": exports,
    "export_row": export_rows,
}
CHAIN = "chain"
KINDS = (*TABLES, CHAIN)
ALIASES = {"pair": "io_pair", "check": "pair_check", "exec": "execution"}
STAGES_OF = {
    "source": ("transform",),
    "call": ("complete",),
    "response": ("parse", "verify"),
    "sample": ("generate",),
    "io_pair": ("predict",),
    "verdict": ("revise",),
}
"""Stages whose jobs are about a row, by kind of row."""
SUBJECT_KINDS = {stage: kind for kind, stages in STAGES_OF.items() for stage in stages}
"""Kind of row that the jobs of a stage are about, by stage."""
Key = tuple[str, int]


@dataclass(frozen=True)
class Edge:
    """A relation from rows of one kind to rows of another.

    Attributes:
        above: Kind of the rows that come first.
        below: Kind of the rows that came of them.
        pairs: A SELECT of their ids, as columns `up` and `down`.
    """

    above: str
    below: str
    pairs: FromClause


def _edge(above: str, below: str, up: Any, down: Any, joined: Any = None) -> Edge:
    chosen: Select[Any] = select(up.label("up"), down.label("down"))
    return Edge(
        above, below, (chosen.select_from(joined) if joined is not None else chosen).subquery()
    )


def _chains(up: Column[int], *joined: Any) -> FromClause:
    """Return pairs of (up, chain id); a chain's id is that of its first answer.

    The joins are inside the union: outside of it SQLite would build the whole union for one row.
    """
    answered: Any = turns.join(calls, calls.c.prompt_id == turns.c.prompt_id).join(
        responses, responses.c.call_id == calls.c.id
    )
    for table in joined:
        answered = answered.join(table, table.c.response_id == responses.c.id)
    about_pairs = select(up.label("up")).where(turns.c.sample_id.is_not(None))
    first = about_pairs.add_columns(responses.c.id.label("down")).where(turns.c.number == 1)
    later = about_pairs.add_columns(turns.c.chain_response_id.label("down")).where(
        turns.c.number > 1
    )
    return union_all(first.select_from(answered), later.select_from(answered)).subquery()


CHAINS = _chains(responses.c.id)
EDGES = (
    _edge("origin", "source", origins.c.id, origins.c.source_id),
    _edge("source", "turn", turns.c.source_id, turns.c.id),
    _edge("io_pair", "turn", turns.c.io_pair_id, turns.c.id),
    _edge("io_pair", "turn", turn_pairs.c.io_pair_id, turn_pairs.c.turn_id),
    _edge(
        "verdict",
        "turn",
        verdicts.c.id,
        turns.c.id,
        verdicts.join(turns, turns.c.revises_response_id == verdicts.c.response_id),
    ),
    _edge("turn", "prompt", turns.c.id, turns.c.prompt_id),
    _edge("prompt", "call", calls.c.prompt_id, calls.c.id),
    _edge("call", "response", responses.c.call_id, responses.c.id),
    _edge("response", "sample", sample_origins.c.response_id, sample_origins.c.sample_id),
    _edge("sample", "execution", executions.c.sample_id, executions.c.id),
    _edge("sample", "io_pair", io_pairs.c.sample_id, io_pairs.c.id),
    _edge("io_pair", "pair_check", pair_checks.c.io_pair_id, pair_checks.c.id),
    _edge("response", "execution", executions.c.response_id, executions.c.id),
    _edge("response", "verdict", verdicts.c.response_id, verdicts.c.id),
    Edge("response", CHAIN, CHAINS),
    Edge("verdict", CHAIN, _chains(verdicts.c.id, verdicts)),
    _edge(CHAIN, "export_row", export_rows.c.chain_id, export_rows.c.id),
    _edge("sample", "export_row", export_rows.c.sample_id, export_rows.c.id),
)
UPWARD_EDGES = (
    _edge("teacher", "response", responses.c.teacher_id, responses.c.id),
    _edge("export", "export_row", export_rows.c.export_id, export_rows.c.id),
)
