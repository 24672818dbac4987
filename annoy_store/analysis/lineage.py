"""One row with its whole lineage: what it came from, and what came of it.

Decisions
- What is above is complete and in the order in which it came about. What is below is a tree, at
  most `most` rows along one edge, with the number that was left out.
- Tries stand with their call, as jobs with their subject: they are what asking cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from annoy_store.analysis.lineage_edges import (
    ALIASES,
    CHAIN,
    CHAINS,
    EDGES,
    KINDS,
    STAGES_OF,
    TABLES,
    UPWARD_ONLY,
    Key,
)
from annoy_store.db.sql import in_values
from annoy_store.db.tables import attempts, export_rows, exports, hidden_subjects, jobs, retractions
from annoy_store.errors import UsageError
from annoy_store.inference.spend import Usage, usage_of

MIN_DIGEST = 6


@dataclass(frozen=True)
class Node:
    """A row, the jobs that were done on it, a call's tries, and the row that led here from above."""

    kind: str
    id: int
    row: Mapping[str, Any]
    jobs: tuple[Mapping[str, Any], ...] = ()
    parent: Key | None = None
    tries: tuple[Mapping[str, Any], ...] = ()

    @property
    def key(self) -> Key:
        return self.kind, self.id


@dataclass(frozen=True)
class Lineage:
    """A row, what it came from in order, what came of it, and how many were left out by kind.

    `cost` is what asking used to get here, `cost_below` what was used for all that is shown of what
    came of it. `exports` are the places in published exports that hold the row or what came of it.
    """

    subject: Node
    above: tuple[Node, ...]
    below: tuple[Node, ...]
    left_out: Mapping[str, int]
    cost: Usage
    cost_below: Usage
    exports: tuple[Mapping[str, Any], ...] = ()
    taken_down: bool = False

    @property
    def nodes(self) -> tuple[Node, ...]:
        return *self.above, self.subject, *self.below


def lineage(connection: Connection, name: str, most: int = 20) -> Lineage:
    """Return the row that `name` (`kind:id` or `kind:digest`) means, with its lineage.

    Raises UsageError for an unknown kind and for a row that is not there.
    """
    subject = find(connection, name)
    above = _fetch(connection, _climb(connection, subject))
    links, left_out = _descend(connection, subject, most)
    below = _fetch(connection, links)
    (node,) = _fetch(connection, {subject: None})
    return Lineage(
        node,
        tuple(above),
        tuple(below),
        left_out,
        _cost(connection, [*above, node]),
        _cost(connection, below),
        tuple(_exports(connection, [*above, node, *below])),
        _is_hidden(connection, [*above, node]),
    )


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
        chosen = select(CHAINS.c.down).where(CHAINS.c.down == row_id).limit(1)
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
    tried: dict[int, list[Mapping[str, Any]]] = {}
    for kind in {kind for kind, _ in keys}:
        ids = [row_id for k, row_id in keys if k == kind]
        rows.update(_rows(connection, kind, ids))
        for job in _jobs(connection, kind, ids):
            done.setdefault((kind, job.pop("subject_id")), []).append(job)
        if kind == "call":
            tried = _tries(connection, ids)
    return [
        Node(
            *key,
            rows[key],
            tuple(done.get(key, ())),
            parent,
            tuple(tried.get(key[1], ())) if key[0] == "call" else (),
        )
        for key, parent in keys.items()
    ]


def _rows(connection: Connection, kind: str, ids: Iterable[int]) -> dict[Key, Mapping[str, Any]]:
    if kind == CHAIN:
        return {(kind, row_id): {"id": row_id} for row_id in ids}
    table = TABLES[kind]
    chosen = select(table).where(in_values(connection, table.c.id, ids))
    return {(kind, row["id"]): dict(row) for row in connection.execute(chosen).mappings()}


def _jobs(connection: Connection, kind: str, ids: Iterable[int]) -> list[dict[str, Any]]:
    if kind not in STAGES_OF:
        return []
    chosen = select(
        jobs.c.subject_id,
        jobs.c.stage,
        jobs.c.variant_id,
        jobs.c.state,
        jobs.c.attempts,
        jobs.c.reason,
        jobs.c.detail,
    ).where(jobs.c.stage.in_(STAGES_OF[kind]), in_values(connection, jobs.c.subject_id, ids))
    ordered = chosen.order_by(jobs.c.stage, jobs.c.variant_id)
    return [dict(row) for row in connection.execute(ordered).mappings()]


def _tries(connection: Connection, ids: Iterable[int]) -> dict[int, list[Mapping[str, Any]]]:
    """The attempts of calls, in the order of time."""
    chosen = select(attempts).where(in_values(connection, attempts.c.call_id, ids))
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in connection.execute(chosen.order_by(attempts.c.id)).mappings():
        found.setdefault(row["call_id"], []).append(dict(row))
    return found


def _cost(connection: Connection, nodes: Iterable[Node]) -> Usage:
    ids = [node.id for node in nodes if node.kind == "call"]
    return usage_of(connection, in_values(connection, attempts.c.call_id, ids)) if ids else Usage()


def _exports(connection: Connection, nodes: Iterable[Node]) -> list[Mapping[str, Any]]:
    """Where published exports hold these rows; `row` counts from 1."""
    ids = [node.id for node in nodes if node.kind == "export_row"]
    back = select(retractions.c.export_id).where(retractions.c.export_row_id == export_rows.c.id)
    chosen = (
        select(
            exports.c.id.label("export_id"),
            exports.c.format,
            exports.c.folder,
            export_rows.c.split,
            (export_rows.c.position + 1).label("row"),
            back.exists().label("taken_back"),
        )
        .join(exports, exports.c.id == export_rows.c.export_id)
        .where(exports.c.published_at.is_not(None), in_values(connection, export_rows.c.id, ids))
        .order_by(exports.c.id, export_rows.c.position)
    )
    return [dict(row) for row in connection.execute(chosen).mappings()] if ids else []


def _is_hidden(connection: Connection, nodes: Iterable[Node]) -> bool:
    """Whether a row, or a source or sample that it came from, is taken down."""
    for kind in ("source", "sample"):
        ids = [node.id for node in nodes if node.kind == kind]
        gone = (
            hidden_subjects.c.kind == kind,
            in_values(connection, hidden_subjects.c.subject_id, ids),
        )
        if ids and connection.execute(select(hidden_subjects.c.kind).where(*gone)).first():
            return True
    return False
