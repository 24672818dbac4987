"""Training splits: what is chosen, shaped, written and remembered, in that order.

    gather   what subjects there are, and what earlier exports of this line published
    select   rules, one after the other, each counted
    write    texts in pages through DuckDB into a folder in the making
    enter    the ledger of exports, and the rename that publishes the folder

Decisions
- What is chosen is one snapshot; texts are read after it, by id, for rows do not change.
- The folder holds nothing that depends on time, place or ids: the same data in another store, or
  another day, is the same bytes.
- Records lie in the order of a hash of their content, so a file needs no shuffling.
- An increment is chosen by absence: what no export of the line holds. What an earlier export of
  the line holds and is no longer wanted as it was is taken back, and listed as a retraction.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa

from annoy_store.db.duckdb_session import gc_paused, open_duckdb
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.export import export_log
from annoy_store.export.dataset_card import CardData, write_metadata_files, write_retractions
from annoy_store.export.external_sort import ExternalSort
from annoy_store.export.format_file import Format, load_format
from annoy_store.export.manifest import build_manifest, export_row
from annoy_store.export.plan import ExportPlan, build_plan, taken_down_samples
from annoy_store.export.record_schema import stream_schema
from annoy_store.export.record_stream import stream_records
from annoy_store.export.request import ExportReport, ExportRequest
from annoy_store.export.splits import parse_split_config
from annoy_store.export.writer import (
    WrittenFile,
    check_file_options,
    check_folder,
    publish_folder,
    staging_folder,
    write_split,
)

ProgressCallback = Callable[[str], None]


def export(
    store: Database, request: ExportRequest, say: ProgressCallback = lambda words: None
) -> ExportReport:
    """Write the export that `request` describes and enter it into the ledger; `say` how far it is.

    Raises UsageError for what a person can mend: an unknown format, a folder in use, wrong SQL,
    a full disk. Nothing is left under the final name then, and the ledger holds nothing.
    """
    form = load_format(request.format)
    check_file_options(request.file_options)
    request = _inherit(store, form, request)
    if request.dry_run:
        check_folder(request.folder)
        return _report(form, build_plan(store, form, request, None))
    with staging_folder(request.folder) as making, gc_paused():
        say("choosing")
        choice = build_plan(store, form, request, making)
        if not choice.records.num_rows and not choice.retractions:
            return _report(form, choice)
        files = _write(store, form, request, choice, making, say)
        say("entering the ledger")
        return _publish(store, form, request, choice, making, files)


def _inherit(store: Database, form: Format, request: ExportRequest) -> ExportRequest:
    """An export that adds to another is split as that one was; shares may change, no salt may."""
    if request.since is None:
        return request
    with store.read() as connection:
        parent = export_log.find_export(connection, request.since, form.name)
        before = export_log.split_of_export(connection, parent)
    request = replace(request, since=str(parent))
    if before is None and request.split_config is not None:
        raise UsageError(f"export {parent} has no splits; leave out --split, or begin a new line")
    if before is not None and request.split_config is None:
        return replace(request, split_config=parse_split_config(*before))
    if (
        before is not None
        and request.split_config is not None
        and request.split_config.salt != before[1]
    ):
        raise UsageError(f"export {parent} was split with the salt {before[1]!r}; give it again")
    return request


def _report(form: Format, choice: ExportPlan, **written: Any) -> ExportReport:
    return ExportReport(
        form.name,
        choice.subjects,
        choice.removed,
        choice.statistics["rows"],
        Counter(reason for _, reason in choice.retractions),
        warnings=choice.warnings,
        **written,
    )


def _write(
    store: Database,
    form: Format,
    request: ExportRequest,
    choice: ExportPlan,
    making: Path,
    say: ProgressCallback,
) -> list[WrittenFile]:
    """Write the files of every split; the plan has them one after the other."""
    files: list[WrittenFile] = []
    first = 0
    spill = making / ".spill"
    with open_duckdb(spill, threads=request.threads) as duck, TemporaryFile(dir=making) as file:
        ordering = ExternalSort(file, stream_schema(choice.binding))
        for places, page in stream_records(store, choice.records, choice.binding):
            ordering.add(places, page)
            say(f"read {ordering.n_records} of {choice.records.num_rows} records")
        for split, rows in choice.statistics["rows"].items():
            say(f"writing {split}")
            files += write_split(
                duck,
                form,
                choice.binding,
                request.file_options,
                making,
                split,
                first,
                rows,
                ordering.read,
            )
            first += rows
    shutil.rmtree(spill, ignore_errors=True)
    return files


def _publish(
    store: Database,
    form: Format,
    request: ExportRequest,
    choice: ExportPlan,
    making: Path,
    files: list[WrittenFile],
) -> ExportReport:
    _check_hidden(store, choice)
    taken_back = _taken_back(store, choice)
    told = build_manifest(store, form, request, choice, files, taken_back)
    if taken_back:
        write_retractions(making / "retractions.csv", taken_back)
    write_metadata_files(
        making,
        CardData(form, request.file_options, choice.binding.schema, files, told, choice.statistics),
    )
    named = str(told["digest"])
    written = {"files": tuple(files), "folder": request.folder, "digest": named}
    if (same := export_log.find_published(store, named)) is not None:
        publish_folder(making, request.folder)
        return _report(form, choice, export_id=same, already_published=True, **written)
    edition = export_row(form, request, choice, files, named)
    rows = _rows(choice.records, form)
    export_id = export_log.record_export(
        store, edition, rows, choice.retractions, lambda: publish_folder(making, request.folder)
    )
    return _report(form, choice, export_id=export_id, **written)


def _check_hidden(store: Database, choice: ExportPlan) -> None:
    """What is taken down while an export runs must not be published by it."""
    with store.read() as connection:
        if taken_down_samples(connection) - choice.taken_down:
            raise UsageError("something was taken down during the export; run it again")


def _taken_back(store: Database, choice: ExportPlan) -> list[dict[str, Any]]:
    if not choice.retractions:
        return []
    with store.read() as connection:
        return export_log.locate_rows(connection, choice.retractions)


def _rows(plan: pa.Table, form: Format) -> Iterator[export_log.LoggedRow]:
    """The ledger's rows of a plan: chain, sample, split, state."""
    for batch in plan.select(["subject_id", "split", "state"]).to_batches(max_chunksize=20_000):
        ids, splits, states = (batch.column(i).to_pylist() for i in range(3))
        for i, name, state in zip(ids, splits, states, strict=True):
            chain, sample = (None, i) if form.record == "sample" else (i, None)
            yield chain, sample, name, state
