"""One row with its whole lineage: its ancestors and its descendants.

Decisions
- Ancestors are complete and in the order in which they were made. Descendants are a tree with at
  most `max_children` rows along one edge, and the number of rows that were omitted.
- Attempts are listed with their call, jobs with their subject, and marks with their row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from annoy_store.analysis.lineage_edges import (
    CHAIN,
    EDGES,
    KINDS,
    STAGES_OF,
    TABLES,
    UPWARD_EDGES,
    Key,
)
from annoy_store.analysis.row_names import resolve_row
from annoy_store.db.sql import in_values
from annoy_store.db.tables import attempts, export_rows, exports, hidden_subjects, jobs, retractions
from annoy_store.inference.spend import Usage, usage_of
from annoy_store.records.annotations import Annotation, marks_of


@dataclass(frozen=True)
class Node:
    """A row of a lineage.

    Attributes:
        kind: Kind of the row, as in `lineage_edges.KINDS`.
        id: Its id.
        row: Its values by column name.
        jobs: The jobs about it, by stage and variant.
        parent: The row above it in a tree of descendants; None for the others.
        attempts: The attempts of a call, by time; empty for other kinds.
        marks: The marks that readers set on the row.
    """

    kind: str
    id: int
    row: Mapping[str, Any]
    jobs: tuple[Mapping[str, Any], ...] = ()
    parent: Key | None = None
    attempts: tuple[Mapping[str, Any], ...] = ()
    marks: tuple[Annotation, ...] = ()

    @property
    def key(self) -> Key:
        """Kind and id."""
        return self.kind, self.id


@dataclass(frozen=True)
class Lineage:
    """A row with its ancestors and descendants.

    Attributes:
        subject: The row itself.
        above: Its ancestors, the oldest first.
        below: Its descendants as a tree, in depth-first order.
        omitted: Number of descendants that are not in `below`, by kind.
        cost: Usage of the calls among the ancestors and the row itself.
        cost_below: Usage of the calls among `below`.
        exports: Rows of published exports that hold the row or a relative of it.
        taken_down: True if the row, or a source or sample above it, is taken down.
    """

    subject: Node
    above: tuple[Node, ...]
    below: tuple[Node, ...]
    omitted: Mapping[str, int]
    cost: Usage
    cost_below: Usage
    exports: tuple[Mapping[str, Any], ...] = ()
    taken_down: bool = False

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All rows: ancestors, the row itself, descendants."""
        return *self.above, self.subject, *self.below

    def tree(self) -> Iterator[tuple[int, Node]]:
        """Yield the descendants with their depth, from 0, in depth-first order."""
        depth: dict[Key, int] = {self.subject.key: -1}
        for node in self.below:
            depth[node.key] = level = depth[node.parent or self.subject.key] + 1
            yield level, node


def lineage(connection: Connection, name: str, max_children: int = 20) -> Lineage:
    """Return a row with its lineage.

    Args:
        connection: A connection to the store.
        name: The row, as `kind:id` or `kind:digest`; the beginning of a digest is enough.
        max_children: Most descendants of one row along one edge.

    Raises:
        UsageError: The kind is unknown, or there is no such row, or more than one.
    """
    subject = resolve_row(connection, name)
    above = _fetch(connection, _ancestors(connection, subject))
    links, omitted = _descendants(connection, subject, max_children)
    below = _fetch(connection, links)
    (node,) = _fetch(connection, {subject: None})
    return Lineage(
        node,
        tuple(above),
        tuple(below),
        omitted,
        _cost(connection, [*above, node]),
        _cost(connection, below),
        tuple(_exports(connection, [*above, node, *below])),
        _is_taken_down(connection, [*above, node]),
    )


def _ancestors(connection: Connection, subject: Key) -> dict[Key, Key | None]:
    """Return all ancestors, the farthest first; the distance is that of the longest path."""
    depth: dict[Key, int] = {subject: 0}
    frontier = [subject]
    while frontier:
        reached: dict[Key, int] = {}
        for kind, row_id in frontier:
            for edge in (*EDGES, *UPWARD_EDGES):
                if edge.below == kind:
                    for parent in _ids(connection, edge.pairs.c.up, edge.pairs.c.down == row_id):
                        key = edge.above, parent
                        reached[key] = max(reached.get(key, 0), depth[kind, row_id] + 1)
        frontier = [key for key, far in reached.items() if far > depth.get(key, 0)]
        depth.update((key, reached[key]) for key in frontier)
    ordered = sorted(depth, key=lambda key: (-depth[key], KINDS.index(key[0]), key[1]))
    return {key: None for key in ordered if key != subject}


def _descendants(
    connection: Connection, subject: Key, max_children: int
) -> tuple[dict[Key, Key | None], dict[str, int]]:
    """Return the descendants as a tree in depth-first order, and the number omitted by kind."""
    found: dict[Key, Key | None] = {}
    omitted: dict[str, int] = {}

    def visit(key: Key) -> None:
        for edge in EDGES:
            if edge.above != key[0]:
                continue
            here = edge.pairs.c.up == key[1]
            children = _ids(connection, edge.pairs.c.down, here, max_children + 1)
            if len(children) > max_children:
                n = select(func.count(func.distinct(edge.pairs.c.down))).where(here)
                omitted[edge.below] = (
                    omitted.get(edge.below, 0) + connection.scalars(n).one() - max_children
                )
            for child in children[:max_children]:
                below = edge.below, child
                if below not in found and below != subject:
                    found[below] = key
                    visit(below)

    visit(subject)
    return found, omitted


def _ids(connection: Connection, column: Any, where: Any, limit: int | None = None) -> list[int]:
    chosen = select(column).where(where, column.is_not(None)).distinct().order_by(column)
    return list(connection.scalars(chosen.limit(limit)))


def _fetch(connection: Connection, keys: Mapping[Key, Key | None]) -> list[Node]:
    """Return the rows and jobs of `keys`, in their order, with one query per kind."""
    rows: dict[Key, Mapping[str, Any]] = {}
    jobs_of: dict[Key, list[Mapping[str, Any]]] = {}
    attempts_of: dict[int, list[Mapping[str, Any]]] = {}
    marks: dict[Key, list[Annotation]] = {}
    for kind in {kind for kind, _ in keys}:
        ids = [row_id for k, row_id in keys if k == kind]
        rows.update(_rows(connection, kind, ids))
        for job in _jobs(connection, kind, ids):
            jobs_of.setdefault((kind, job.pop("subject_id")), []).append(job)
        marks.update(((kind, i), of) for i, of in marks_of(connection, kind, ids).items())
        if kind == "call":
            attempts_of = _attempts(connection, ids)
    return [
        Node(
            *key,
            rows[key],
            tuple(jobs_of.get(key, ())),
            parent,
            tuple(attempts_of.get(key[1], ())) if key[0] == "call" else (),
            tuple(marks.get(key, ())),
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


def _attempts(connection: Connection, ids: Iterable[int]) -> dict[int, list[Mapping[str, Any]]]:
    """Return the attempts of calls, by time."""
    chosen = select(attempts).where(in_values(connection, attempts.c.call_id, ids))
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in connection.execute(chosen.order_by(attempts.c.id)).mappings():
        found.setdefault(row["call_id"], []).append(dict(row))
    return found


def _cost(connection: Connection, nodes: Iterable[Node]) -> Usage:
    ids = [node.id for node in nodes if node.kind == "call"]
    return usage_of(connection, in_values(connection, attempts.c.call_id, ids)) if ids else Usage()


def _exports(connection: Connection, nodes: Iterable[Node]) -> list[Mapping[str, Any]]:
    """Return the places of rows in published exports; `row` counts from 1."""
    ids = [node.id for node in nodes if node.kind == "export_row"]
    by = exports.alias("by")
    back = (
        select(retractions.c.export_id)
        .join(by, by.c.id == retractions.c.export_id)
        .where(retractions.c.export_row_id == export_rows.c.id, by.c.published_at.is_not(None))
        .correlate(export_rows)
    )
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


def _is_taken_down(connection: Connection, nodes: Iterable[Node]) -> bool:
    """Return True if a row, or a source or sample among its ancestors, is taken down."""
    for kind in ("source", "sample"):
        ids = [node.id for node in nodes if node.kind == kind]
        hidden = (
            hidden_subjects.c.kind == kind,
            in_values(connection, hidden_subjects.c.subject_id, ids),
        )
        if ids and connection.execute(select(hidden_subjects.c.kind).where(*hidden)).first():
            return True
    return False
