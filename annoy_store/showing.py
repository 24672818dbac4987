"""One row with its whole lineage: what it came from, and what came of it.

Decisions
- The store is a graph from origins to exports. Its edges are the `EDGES` here, each one SELECT of
  (up, down) ids; going up and going down are two ways to read the same line.
- What is above is complete and in the order in which it came about. What is below is a tree, at
  most `most` rows along one edge, with the number that was left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, FromClause, Select, Table, func, select, union_all

from annoy_store.database import among
from annoy_store.errors import UsageError
from annoy_store.tables import (
    calls,
    executions,
    export_rows,
    exports,
    io_pairs,
    jobs,
    origins,
    pair_checks,
    prompts,
    responses,
    sample_origins,
    samples,
    sources,
    teachers,
    turns,
    verdicts,
)

TABLES: dict[str, Table] = {
    "origin": origins, "source": sources, "turn": turns, "prompt": prompts, "teacher": teachers,
    "call": calls, "response": responses, "sample": samples, "execution": executions,
    "io_pair": io_pairs, "pair_check": pair_checks, "verdict": verdicts, "export": exports,
    "export_row": export_rows,
}  # fmt: skip
CHAIN = "chain"
KINDS = (*TABLES, CHAIN)
ALIASES = {"pair": "io_pair", "check": "pair_check", "exec": "execution"}
STAGES_OF = {
    "source": ("transform",), "call": ("complete",), "response": ("parse", "verify"),
    "sample": ("generate",), "io_pair": ("predict",), "verdict": ("revise",),
}  # fmt: skip
MIN_DIGEST = 6
Key = tuple[str, int]


@dataclass(frozen=True)
class Edge:
    """Rows of one kind that lead to rows of another, as a SELECT of their ids `up` and `down`."""

    above: str
    below: str
    pairs: FromClause


@dataclass(frozen=True)
class Node:
    """A row, the jobs that were done on it, and the row that led here on the way down."""

    kind: str
    id: int
    row: Mapping[str, Any]
    jobs: tuple[Mapping[str, Any], ...] = ()
    parent: Key | None = None

    @property
    def key(self) -> Key:
        return self.kind, self.id


@dataclass(frozen=True)
class Lineage:
    """A row, what it came from in order, what came of it, and how many were left out by kind."""

    subject: Node
    above: tuple[Node, ...]
    below: tuple[Node, ...]
    left_out: Mapping[str, int]


def _edge(above: str, below: str, up: Any, down: Any, joined: Any = None) -> Edge:
    chosen: Select[Any] = select(up.label("up"), down.label("down"))
    return Edge(
        above, below, (chosen.select_from(joined) if joined is not None else chosen).subquery()
    )


def _chains(up: Column[int], *joined: Any) -> FromClause:
    """(up, chain): a chain is named by its first answer, later ones say whose they are.

    What is joined stands inside the union: SQLite would make the whole union for one row outside.
    """
    answered: Any = turns.join(calls, calls.c.prompt_id == turns.c.prompt_id).join(
        responses, responses.c.call_id == calls.c.id
    )
    for table in joined:
        answered = answered.join(table, table.c.response_id == responses.c.id)
    about_pairs = select(up.label("up")).where(turns.c.io_pair_id.is_not(None))
    first = about_pairs.add_columns(responses.c.id.label("down")).where(turns.c.number == 1)
    later = about_pairs.add_columns(turns.c.chain_response_id.label("down")).where(
        turns.c.number > 1
    )
    return union_all(first.select_from(answered), later.select_from(answered)).subquery()


_CHAINS = _chains(responses.c.id)
EDGES = (
    _edge("origin", "source", origins.c.id, origins.c.source_id),
    _edge("source", "turn", turns.c.source_id, turns.c.id),
    _edge("io_pair", "turn", turns.c.io_pair_id, turns.c.id),
    _edge(
        "verdict", "turn", verdicts.c.id, turns.c.id,
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
    Edge("response", CHAIN, _CHAINS),
    Edge("verdict", CHAIN, _chains(verdicts.c.id, verdicts)),
    _edge(CHAIN, "export_row", export_rows.c.chain_id, export_rows.c.id),
    _edge("sample", "export_row", export_rows.c.sample_id, export_rows.c.id),
)  # fmt: skip
UPWARD_ONLY = (
    _edge("teacher", "response", responses.c.teacher_id, responses.c.id),
    _edge("export", "export_row", export_rows.c.export_id, export_rows.c.id),
)


def lineage(connection: Connection, name: str, most: int = 20) -> Lineage:
    """Return the row that `name` (`kind:id` or `kind:digest`) means, with its lineage.

    Raises UsageError for an unknown kind and for a row that is not there.
    """
    subject = find(connection, name)
    above = _fetch(connection, _climb(connection, subject))
    links, left_out = _descend(connection, subject, most)
    below = _fetch(connection, links)
    (node,) = _fetch(connection, {subject: None})
    return Lineage(node, tuple(above), tuple(below), left_out)


def find(connection: Connection, name: str) -> Key:
    """Return the kind and id that `kind:id` or `kind:digest` (its beginning is enough) mean."""
    kind, _, what = name.partition(":")
    kind = ALIASES.get(kind, kind)
    if kind not in KINDS or not what:
        raise UsageError(f"{name!r} is not KIND:ID; kinds are: {', '.join(KINDS)}")
    if what.isdecimal() and len(what) < 19:
        if _exists(connection, kind, int(what)):
            return kind, int(what)
    elif kind != CHAIN and "digest" in TABLES[kind].c and len(what) >= MIN_DIGEST:
        column, key = TABLES[kind].c.digest, TABLES[kind].c.id
        chosen = select(key).where(column >= what, column < f"{what}g").limit(2)
        if found := connection.scalars(chosen).all():
            return kind, _only(found, name)
    raise UsageError(f"there is no {kind} {what}; look for one with: annoy sql")


def _only(found: Sequence[int], name: str) -> int:
    if len(found) > 1:
        raise UsageError(f"{name} is the beginning of more than one digest; give more of it")
    return found[0]


def _exists(connection: Connection, kind: str, row_id: int) -> bool:
    if kind == CHAIN:
        chosen = select(_CHAINS.c.down).where(_CHAINS.c.down == row_id).limit(1)
    else:
        chosen = select(TABLES[kind].c.id).where(TABLES[kind].c.id == row_id)
    return connection.scalar(chosen) is not None


def _climb(connection: Connection, subject: Key) -> dict[Key, Key | None]:
    """Everything above, the farthest first; distance is that of the longest way."""
    depth: dict[Key, int] = {subject: 0}
    frontier = [subject]
    while frontier:
        reached: dict[Key, int] = {}
        for kind, row_id in frontier:
            for edge in (*EDGES, *UPWARD_ONLY):
                if edge.below == kind:
                    for parent in _ids(connection, edge.pairs.c.up, edge.pairs.c.down == row_id):
                        key = edge.above, parent
                        reached[key] = max(reached.get(key, 0), depth[kind, row_id] + 1)
        frontier = [key for key, far in reached.items() if far > depth.get(key, 0)]
        depth.update((key, reached[key]) for key in frontier)
    ordered = sorted(depth, key=lambda key: (-depth[key], KINDS.index(key[0]), key[1]))
    return {key: None for key in ordered if key != subject}


def _descend(
    connection: Connection, subject: Key, most: int
) -> tuple[dict[Key, Key | None], dict[str, int]]:
    """Everything below as a tree in its reading order, and how many were left out by kind."""
    found: dict[Key, Key | None] = {}
    left_out: dict[str, int] = {}

    def visit(key: Key) -> None:
        for edge in EDGES:
            if edge.above != key[0]:
                continue
            here = edge.pairs.c.up == key[1]
            children = _ids(connection, edge.pairs.c.down, here, most + 1)
            if len(children) > most:
                n = select(func.count(func.distinct(edge.pairs.c.down))).where(here)
                left_out[edge.below] = (
                    left_out.get(edge.below, 0) + connection.scalars(n).one() - most
                )
            for child in children[:most]:
                below = edge.below, child
                if below not in found and below != subject:
                    found[below] = key
                    visit(below)

    visit(subject)
    return found, left_out


def _ids(connection: Connection, column: Any, where: Any, limit: int | None = None) -> list[int]:
    chosen = select(column).where(where, column.is_not(None)).distinct().order_by(column)
    return list(connection.scalars(chosen.limit(limit)))


def _fetch(connection: Connection, keys: Mapping[Key, Key | None]) -> list[Node]:
    """The rows and jobs of `keys`, in their order, one query per kind."""
    rows: dict[Key, Mapping[str, Any]] = {}
    done: dict[Key, list[Mapping[str, Any]]] = {}
    for kind in {kind for kind, _ in keys}:
        ids = [row_id for k, row_id in keys if k == kind]
        rows.update(_rows(connection, kind, ids))
        for job in _jobs(connection, kind, ids):
            done.setdefault((kind, job.pop("subject_id")), []).append(job)
    return [Node(*key, rows[key], tuple(done.get(key, ())), parent) for key, parent in keys.items()]


def _rows(connection: Connection, kind: str, ids: Iterable[int]) -> dict[Key, Mapping[str, Any]]:
    if kind == CHAIN:
        return {(kind, row_id): {"id": row_id} for row_id in ids}
    table = TABLES[kind]
    chosen = select(table).where(among(connection, table.c.id, ids))
    return {(kind, row["id"]): dict(row) for row in connection.execute(chosen).mappings()}


def _jobs(connection: Connection, kind: str, ids: Iterable[int]) -> list[dict[str, Any]]:
    if kind not in STAGES_OF:
        return []
    chosen = select(
        jobs.c.subject_id, jobs.c.stage, jobs.c.variant_id, jobs.c.state, jobs.c.attempts,
        jobs.c.reason, jobs.c.detail,
    ).where(jobs.c.stage.in_(STAGES_OF[kind]), among(connection, jobs.c.subject_id, ids))  # fmt: skip
    ordered = chosen.order_by(jobs.c.stage, jobs.c.variant_id)
    return [dict(row) for row in connection.execute(ordered).mappings()]
