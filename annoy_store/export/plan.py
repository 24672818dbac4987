"""The plan of an export: from the store's rows to the ordered list of subjects to write.

One snapshot decides; see increments.py for what an export that adds to others looks at.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from sqlalchemy import Connection, select

from annoy_store.db.duckdb_session import arrow_table, open_duck
from annoy_store.db.engine import Store
from annoy_store.db.tables import hidden
from annoy_store.export import export_log, filters, group_filters, splits, token_counts
from annoy_store.export.attributes import fetch, mentioned
from annoy_store.export.chains import gather
from annoy_store.export.format_file import Format
from annoy_store.export.increments import Line, line_to_add_to, mark_published, seen
from annoy_store.export.record_schema import Shape, plan_columns, shape_of
from annoy_store.export.samples import gather_samples
from annoy_store.export.statistics import facts
from annoy_store.records.policy import load_policy

if TYPE_CHECKING:
    from annoy_store.export.request import ExportRequest

_SPLIT_ORDER = "CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END"


@dataclass(frozen=True)
class Choice:
    """What goes into an export: the ordered plan, how it came about, and what is taken back.

    `removed` counts the subjects that each rule turned down; `retractions` are (export row,
    reason); `facts` are what the card tells; `hidden` the samples that were taken down then.
    """

    plan: pa.Table
    shape: Shape
    subjects: int
    removed: Mapping[str, int]
    retractions: Sequence[tuple[int, str]]
    line: Sequence[int]
    seen: str
    hidden: frozenset[int]
    facts: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def choose(store: Store, form: Format, request: ExportRequest, folder: Path | None) -> Choice:
    """Return what the export of `request` holds; `folder` may be spilled into. Raises UsageError."""
    assigned = splits.prepare(store, request.splitting, dry_run=request.dry_run)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".spill-") as spill,
        open_duck(Path(spill), threads=request.threads) as duck,
        store.read() as connection,
    ):
        return _choose(duck, connection, form, request, assigned)


def _choose(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    form: Format,
    request: ExportRequest,
    assigned: splits.Assigned,
) -> Choice:
    selection, line = request.selection, _line(connection, form, request)
    most = _gather(duck, connection, form, line, selection.judged_by)
    splits.mark(duck, request.splitting, assigned)
    have = fetch(duck, connection, ["hidden", *(["overlap"] * selection.exclude_overlaps)])
    filters.view(duck, have)
    taken_back = mark_published(
        duck, connection, form, line, overlap=selection.exclude_overlaps
    )  # fmt: skip
    rules = filters.rules(form, selection, split=request.splitting is not None)
    have = filters.apply(duck, connection, rules, have)
    token_counts.apply(duck, connection, selection)
    have = have | fetch(
        duck, connection, [n for n in group_filters.needs(selection) if n not in have]
    )
    filters.view(duck, have)
    group_filters.apply(duck, form, selection)
    duck.execute("UPDATE subjects SET removed = 'published' WHERE published")
    shape = shape_of(form, most)
    told = ["origin", "cluster", *(["teacher"] * (form.record != "sample"))]
    wanted = {*told, *mentioned(" ".join(plan_columns(shape)))}
    filters.view(duck, have | fetch(duck, connection, sorted(wanted - have)))
    removed, total = _removed(duck), _total(duck)
    if line.ids:  # a lean look sees few of the published; say how many there are
        held = export_log.held(connection, line.ids) - len(taken_back)
        total += held - removed.pop("published", 0)
        removed |= {"published": held} if held else {}
    return Choice(
        _plan(duck, form, shape), shape, total, removed, taken_back, line.ids,
        seen(connection), hidden_samples(connection), facts(duck, connection, form),
        assigned.warnings,
    )  # fmt: skip


def hidden_samples(connection: Connection) -> frozenset[int]:
    """The samples that are taken down now."""
    return frozenset(
        connection.scalars(select(hidden.c.subject_id).where(hidden.c.kind == "sample"))
    )


def _line(connection: Connection, form: Format, request: ExportRequest) -> Line:
    if request.since is None:
        return Line()
    ids = export_log.line_of(connection, export_log.find(connection, request.since, form.name))
    compares, overlap = request.selection.compares, request.selection.exclude_overlaps
    return line_to_add_to(connection, form, ids, compares=compares, overlap=overlap)


def _gather(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    form: Format,
    line: Line,
    judged_by: int | None,
) -> int:
    if form.record == "sample":
        gather_samples(duck, connection)
        most = 2
    else:
        turns = load_policy(connection).max_turns
        most = gather(duck, connection, turns, line.within(connection), judged_by)
    duck.execute("""
    ALTER TABLE subjects ADD COLUMN split VARCHAR DEFAULT 'train';
    ALTER TABLE subjects ADD COLUMN published BOOLEAN DEFAULT false;
    ALTER TABLE subjects ADD COLUMN chosen_id BIGINT;
    ALTER TABLE subjects ADD COLUMN rejected_id BIGINT
    """)
    return most


def _total(duck: duckdb.DuckDBPyConnection) -> int:
    return int(duck.execute("SELECT count(*) FROM subjects").fetchall()[0][0])


def _removed(duck: duckdb.DuckDBPyConnection) -> dict[str, int]:
    query = "SELECT removed, count(*) FROM subjects WHERE removed IS NOT NULL GROUP BY 1 ORDER BY 1"
    return dict(duck.execute(query).fetchall())


def _plan(duck: duckdb.DuckDBPyConnection, form: Format, shape: Shape) -> pa.Table:
    """The ordered subjects, with the ids and words that their records are made of."""
    own = ["subject_id", "split", "state"]
    columns = [*own, *(name for name in plan_columns(shape) if name not in own)]
    query = (
        f"SELECT {', '.join(columns)} FROM candidates ORDER BY {_SPLIT_ORDER}, place, subject_id"
    )
    return arrow_table(duck, query)
