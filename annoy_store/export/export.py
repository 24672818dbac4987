"""Training splits: plan, records, files, publication; no step goes back to an earlier one.

    plan      what is exported: the format, the parent export, the filters, one snapshot (plan.py)
    records   texts read by id (record_stream.py), sorted (external_sort.py)
    files     written by DuckDB into a staging folder, checked and hashed (writer.py)
    publish   manifest and dataset card beside the data, the export log, and one rename

Decisions
- What is exported is chosen in one snapshot; texts are read later, by id, because rows do
  not change.
- The folder contains nothing that depends on time, host or ids: the same data gives the same bytes
  in another store or on another day.
- Records are in the order of a hash of their content, so a file needs no shuffling.
- An increment contains the records that no earlier export contains. A record of an earlier export
  that would no longer be exported in that form is retracted, and listed as a retraction.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from annoy_store.db.duckdb_session import gc_paused
from annoy_store.db.engine import Database
from annoy_store.export.dataset_card import write_metadata_files
from annoy_store.export.export_log import adopt_folders, record_export
from annoy_store.export.file_options import check_file_options
from annoy_store.export.format_file import load_format
from annoy_store.export.manifest import build_manifest, export_row
from annoy_store.export.parents import load_parents
from annoy_store.export.plan import ExportPlan, build_plan
from annoy_store.export.request import ExportReport, ExportRequest
from annoy_store.export.staging import check_folder, publish_folder, staging_folder, withdraw_folder
from annoy_store.export.writer import write_files
from annoy_store.interfaces import ShowProgress, show_nothing

NOT_RECORDED = "the store is read-only: this export is not recorded there, and no later increment starts from it"


def export(
    store: Database, request: ExportRequest, progress: ShowProgress = show_nothing
) -> ExportReport:
    """Write the export that `request` describes and record it in the export log.

    If it fails, nothing is left under the final name or in the log.

    Args:
        store: The store to export from.
        request: What is exported, in which format, and into which folder.
        progress: Called with a status message when a step starts or advances.

    Returns:
        What was selected, removed, written and retracted.

    Raises:
        UsageError: For what a user can correct: an unknown format, a folder in use, wrong SQL,
            a full disk.
    """
    if not request.dry_run and not store.is_read_only:
        adopt_folders(store)
    form = load_format(request.format)
    layout = check_file_options(request.file_options, form)
    parents = load_parents(store, form.name, request.since)
    if request.dry_run:
        check_folder(request.folder)
        return _report(build_plan(store, request, form, layout, parents, None))
    with staging_folder(request.folder) as staging, gc_paused():
        progress("selecting records")
        plan = build_plan(store, request, form, layout, parents, staging)
        if not plan.records.num_rows and not plan.retractions:
            return _report(plan)
        files = write_files(store, plan, staging, progress)
        progress("publishing")
        manifest = build_manifest(plan, files)
        write_metadata_files(staging, plan, files, manifest)
        row = export_row(plan, manifest)
        publish = partial(publish_folder, staging, request.folder)
        if store.is_read_only:
            publish()
            return _report(
                plan, (NOT_RECORDED,), files=tuple(files), folder=request.folder, digest=row.digest
            )
        withdraw = partial(withdraw_folder, staging, request.folder)
        logged = record_export(store, plan, row, publish, withdraw)
    return _report(
        plan,
        files=tuple(files),
        folder=request.folder,
        digest=row.digest,
        export_id=logged.export_id,
        already_published=logged.already_published,
    )


def _report(plan: ExportPlan, warnings: tuple[str, ...] = (), **written: Any) -> ExportReport:
    return ExportReport(
        plan.form.name,
        plan.n_subjects,
        plan.removed,
        plan.statistics["rows"],
        Counter(retraction.reason for retraction in plan.retractions),
        warnings=plan.warnings + warnings,
        **written,
    )
