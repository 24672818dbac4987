"""The plan of an export: from the store's rows to the ordered list of records to write.

All is selected in one snapshot; what an increment examines is decided in increments.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import Connection

from annoy_store.db.duckdb_session import arrow_table, open_duckdb
from annoy_store.db.engine import Database
from annoy_store.export.answers import load_answers, unpaired_warnings
from annoy_store.export.attributes import TAKEN_DOWN_SAMPLES, referenced_attributes
from annoy_store.export.candidates import GroupFilter, apply_filters, load_attributes
from annoy_store.export.chains import ChainScope, load_chains
from annoy_store.export.file_options import FileLayout
from annoy_store.export.filters import build_filters
from annoy_store.export.format_file import Format
from annoy_store.export.group_filters import build_group_filters
from annoy_store.export.increments import Retraction, changes_since, mark_published
from annoy_store.export.overlaps import require_comparison
from annoy_store.export.parents import ParentExports
from annoy_store.export.record_schema import FormatBinding, bind_format
from annoy_store.export.request import ExportRequest
from annoy_store.export.samples import load_samples
from annoy_store.export.splits import SplitAssignment, prepare_splits, set_subject_splits
from annoy_store.export.statistics import compute_statistics
from annoy_store.export.token_counts import build_token_filter
from annoy_store.records.policy import load_policy

_PLAN_COLUMNS = """
ALTER TABLE subjects ADD COLUMN split VARCHAR DEFAULT 'train';
ALTER TABLE subjects ADD COLUMN published BOOLEAN DEFAULT false;
ALTER TABLE subjects ADD COLUMN marked_as VARCHAR DEFAULT '{}';
"""
_MARKED_AS = {"preference": "response", "sample": "sample"}  # as the attribute `marks` names them
_NO_PREFERENCE = """
ALTER TABLE subjects ADD COLUMN chosen_id BIGINT;
ALTER TABLE subjects ADD COLUMN rejected_id BIGINT;
ALTER TABLE subjects ADD COLUMN chosen_teacher VARCHAR;
ALTER TABLE subjects ADD COLUMN rejected_teacher VARCHAR
"""
_REMOVE_PUBLISHED = "UPDATE subjects SET removed = 'published' WHERE published"
_SPLIT_ORDER = "CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END"


@dataclass(frozen=True)
class ExportPlan:
    """All that the later steps of an export need; they query none of it again.

    Attributes:
        request: The request, with the splits of the parent export where it named none.
        form: The format.
        layout: What follows from the checked file options.
        parents: The exports that this one adds to.
        split: Shares of the splits, as `train=0.9,validation=0.05,test=0.05`; None for no splits.
        binding: What the format reads and makes.
        records: One row per record, in the order of the export: `subject_id`, `split`, `state`,
            and the plan columns of the binding.
        n_subjects: How many chains (or samples) there were.
        removed: How many of them each filter removed, by its reason.
        retractions: Rows of the parent exports that are retracted.
        verdict_watermark: What the next increment compares with, as JSON.
        taken_down: The samples that were taken down in the snapshot.
        statistics: The counts of the dataset card.
        warnings: Warnings for the user, as sentences.
    """

    request: ExportRequest
    form: Format
    layout: FileLayout
    parents: ParentExports
    split: str | None
    binding: FormatBinding
    records: pa.Table
    n_subjects: int
    removed: Mapping[str, int]
    retractions: Sequence[Retraction]
    verdict_watermark: str
    taken_down: frozenset[int]
    statistics: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def build_plan(
    store: Database,
    request: ExportRequest,
    form: Format,
    layout: FileLayout,
    parents: ParentExports,
    staging: Path | None,
) -> ExportPlan:
    """Select, in one snapshot, what the export of `request` holds.

    Args:
        store: The store; splits are assigned and stored in it, except in a dry run.
        request: What is exported.
        form: The format.
        layout: What follows from the checked file options.
        parents: The exports to add to, if any.
        staging: A folder that DuckDB may spill into; None for a temporary one.

    Raises:
        UsageError: For options that cannot be satisfied, and SQL that DuckDB rejects.
    """
    assignment = prepare_splits(store, request.split_config, parents, dry_run=request.dry_run)
    request = replace(request, split_config=assignment.config)
    with (
        tempfile.TemporaryDirectory(dir=staging, prefix=".spill-") as spill,
        open_duckdb(Path(spill), threads=request.threads) as duck,
        store.read() as connection,
    ):
        return _plan(duck, connection, request, form, layout, parents, assignment)


def _plan(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    request: ExportRequest,
    form: Format,
    layout: FileLayout,
    parents: ParentExports,
    assignment: SplitAssignment,
) -> ExportPlan:
    selection = request.selection
    row_filters = build_filters(form, selection, is_split=request.split_config is not None)
    row_filters += build_token_filter(selection)
    group_filters = build_group_filters(form, selection)
    compare_all = form.record != "chain" or bool(group_filters)
    changes = changes_since(connection, form, parents, selection, compare_all=compare_all)
    if form.record == "sample":
        n_turns = load_samples(duck, connection)
    elif form.record == "preference":
        n_turns = load_answers(duck, connection, selection.judged_by)
    else:
        scope = ChainScope(parents.ids, changes.chains)
        max_turns = load_policy(connection).max_turns
        n_turns = load_chains(duck, connection, max_turns, scope, selection.judged_by)
    added = _PLAN_COLUMNS.format(_MARKED_AS.get(form.record, "chain"))
    duck.execute(added + (_NO_PREFERENCE if form.record != "preference" else ""))
    set_subject_splits(duck, assignment)
    loaded = load_attributes(duck, connection, changes.compared)
    retractions = mark_published(duck, connection, form, parents, changes.chains, selection)
    binding = bind_format(form, n_turns)
    described = ["origin", "cluster", *(["teacher"] * (form.record != "sample"))]
    wanted = sorted({*described, *referenced_attributes(" ".join(binding.plan_columns))})
    last = GroupFilter((_REMOVE_PUBLISHED,)), GroupFilter((), tuple(wanted))
    counts = apply_filters(duck, connection, [*row_filters, *group_filters, *last], loaded)
    if selection.exclude_overlaps:
        require_comparison(duck, connection)
    n_subjects, removed = counts.n_subjects, dict(counts.removed)
    if parents.ids:  # an increment reads few of the published rows; count them all
        published = parents.n_rows - len(retractions)
        n_subjects += published - removed.pop("published", 0)
        removed |= {"published": published} if published else {}
    warnings = unpaired_warnings(duck) if form.record == "preference" else ()
    own = ["subject_id", "split", "state"]
    columns = ", ".join([*own, *(name for name in binding.plan_columns if name not in own)])
    order = f"{_SPLIT_ORDER}, place, subject_id"
    return ExportPlan(
        request=request,
        form=form,
        layout=layout,
        parents=parents,
        split=assignment.shares,
        binding=binding,
        records=arrow_table(duck, f"SELECT {columns} FROM candidates ORDER BY {order}"),
        n_subjects=n_subjects,
        removed=removed,
        retractions=retractions,
        verdict_watermark=changes.watermark,
        taken_down=frozenset(connection.scalars(TAKEN_DOWN_SAMPLES)),
        statistics=compute_statistics(duck, connection, form),
        warnings=(*assignment.warnings, *warnings),
    )
