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

from annoy_store.db.duckdb_session import arrow_table, open_duckdb
from annoy_store.db.engine import Database
from annoy_store.db.tables import hidden_subjects
from annoy_store.export import export_log, filters, group_filters, splits, token_counts
from annoy_store.export.attributes import fetch_attributes, referenced_attributes
from annoy_store.export.chains import load_chains
from annoy_store.export.format_file import Format
from annoy_store.export.increments import (
    ParentExports,
    load_parents,
    mark_published,
    verdict_watermark,
)
from annoy_store.export.record_schema import FormatBinding, bind_format, plan_columns
from annoy_store.export.samples import load_samples
from annoy_store.export.statistics import compute_statistics
from annoy_store.records.policy import load_policy

if TYPE_CHECKING:
    from annoy_store.export.request import ExportRequest

_SPLIT_ORDER = "CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END"


@dataclass(frozen=True)
class ExportPlan:
    """What goes into an export: the ordered plan, how it came about, and what is taken back.

    `removed` counts the subjects that each rule turned down; `retractions` are (export row,
    reason); `facts` are what the card tells; `hidden` the samples that were taken down then.
    """

    records: pa.Table
    binding: FormatBinding
    subjects: int
    removed: Mapping[str, int]
    retractions: Sequence[tuple[int, str]]
    parents: Sequence[int]
    verdict_watermark: str
    taken_down: frozenset[int]
    statistics: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def build_plan(
    store: Database, form: Format, request: ExportRequest, folder: Path | None
) -> ExportPlan:
    """Return what the export of `request` holds; `folder` may be spilled into. Raises UsageError."""
    assigned = splits.prepare_splits(store, request.split_config, dry_run=request.dry_run)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".spill-") as spill,
        open_duckdb(Path(spill), threads=request.threads) as duck,
        store.read() as connection,
    ):
        return _choose(duck, connection, form, request, assigned)


def _choose(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    form: Format,
    request: ExportRequest,
    assigned: splits.SplitAssignment,
) -> ExportPlan:
    selection, line = request.selection, _line(connection, form, request)
    most = _gather(duck, connection, form, line, selection.judged_by)
    splits.set_subject_splits(duck, request.split_config, assigned)
    have = fetch_attributes(
        duck, connection, ["hidden", *(["overlap"] * selection.exclude_overlaps)]
    )
    filters.create_candidates_view(duck, have)
    taken_back = mark_published(duck, connection, form, line, overlap=selection.exclude_overlaps)
    rules = filters.build_filters(form, selection, split=request.split_config is not None)
    have = filters.apply_filters(duck, connection, rules, have)
    token_counts.apply_token_filter(duck, connection, selection)
    have = have | fetch_attributes(
        duck, connection, [n for n in group_filters.required_attributes(selection) if n not in have]
    )
    filters.create_candidates_view(duck, have)
    group_filters.apply_group_filters(duck, form, selection)
    duck.execute("UPDATE subjects SET removed = 'published' WHERE published")
    shape = bind_format(form, most)
    told = ["origin", "cluster", *(["teacher"] * (form.record != "sample"))]
    wanted = {*told, *referenced_attributes(" ".join(plan_columns(shape)))}
    filters.create_candidates_view(
        duck, have | fetch_attributes(duck, connection, sorted(wanted - have))
    )
    removed, total = _removed(duck), _total(duck)
    if line.ids:  # a lean look sees few of the published; say how many there are
        held = export_log.count_published_rows(connection, line.ids) - len(taken_back)
        total += held - removed.pop("published", 0)
        removed |= {"published": held} if held else {}
    return ExportPlan(
        _plan(duck, form, shape),
        shape,
        total,
        removed,
        taken_back,
        line.ids,
        verdict_watermark(connection),
        taken_down_samples(connection),
        compute_statistics(duck, connection, form),
        assigned.warnings,
    )


def taken_down_samples(connection: Connection) -> frozenset[int]:
    """The samples that are taken down now."""
    return frozenset(
        connection.scalars(
            select(hidden_subjects.c.subject_id).where(hidden_subjects.c.kind == "sample")
        )
    )


def _line(connection: Connection, form: Format, request: ExportRequest) -> ParentExports:
    if request.since is None:
        return ParentExports()
    ids = export_log.export_and_ancestors(
        connection, export_log.find_export(connection, request.since, form.name)
    )
    compares, overlap = request.selection.has_group_filters, request.selection.exclude_overlaps
    return load_parents(connection, form, ids, compares=compares, overlap=overlap)


def _gather(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    form: Format,
    line: ParentExports,
    judged_by: int | None,
) -> int:
    if form.record == "sample":
        load_samples(duck, connection)
        most = 2
    else:
        turns = load_policy(connection).max_turns
        most = load_chains(duck, connection, turns, line.chain_condition(connection), judged_by)
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


def _plan(duck: duckdb.DuckDBPyConnection, form: Format, shape: FormatBinding) -> pa.Table:
    """The ordered subjects, with the ids and words that their records are made of."""
    own = ["subject_id", "split", "state"]
    columns = [*own, *(name for name in plan_columns(shape) if name not in own)]
    query = (
        f"SELECT {', '.join(columns)} FROM candidates ORDER BY {_SPLIT_ORDER}, place, subject_id"
    )
    return arrow_table(duck, query)
