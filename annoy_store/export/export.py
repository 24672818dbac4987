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

from annoy_store.db.duckdb_session import no_collection, open_duck
from annoy_store.db.engine import Store
from annoy_store.errors import UsageError
from annoy_store.export import export_log
from annoy_store.export.dataset_card import Told, write_cards, write_retractions
from annoy_store.export.external_sort import Ordering
from annoy_store.export.format_file import Format, load_format
from annoy_store.export.manifest import edition_of, tell
from annoy_store.export.plan import Choice, choose, hidden_samples
from annoy_store.export.record_schema import stream_schema
from annoy_store.export.record_stream import stream
from annoy_store.export.request import ExportReport, ExportRequest
from annoy_store.export.splits import parse_splitting
from annoy_store.export.writer import (
    Written,
    check_folder,
    check_packing,
    in_the_making,
    publish,
    write_split,
)

Say = Callable[[str], None]


def export(store: Store, request: ExportRequest, say: Say = lambda words: None) -> ExportReport:
    """Write the export that `request` describes and enter it into the ledger; `say` how far it is.

    Raises UsageError for what a person can mend: an unknown format, a folder in use, wrong SQL,
    a full disk. Nothing is left under the final name then, and the ledger holds nothing.
    """
    form = load_format(request.format)
    check_packing(request.packing)
    request = _inherit(store, form, request)
    if request.dry_run:
        check_folder(request.folder)
        return _report(form, choose(store, form, request, None))
    with in_the_making(request.folder) as making, no_collection():
        say("choosing")
        choice = choose(store, form, request, making)
        if not choice.plan.num_rows and not choice.retractions:
            return _report(form, choice)
        files = _write(store, form, request, choice, making, say)
        say("entering the ledger")
        return _publish(store, form, request, choice, making, files)


def _inherit(store: Store, form: Format, request: ExportRequest) -> ExportRequest:
    """An export that adds to another is split as that one was; shares may change, no salt may."""
    if request.since is None:
        return request
    with store.read() as connection:
        parent = export_log.find(connection, request.since, form.name)
        before = export_log.splitting_of(connection, parent)
    request = replace(request, since=str(parent))
    if before is None and request.splitting is not None:
        raise UsageError(f"export {parent} has no splits; leave out --split, or begin a new line")
    if before is not None and request.splitting is None:
        return replace(request, splitting=parse_splitting(*before))
    if before is not None and request.splitting is not None and request.splitting.salt != before[1]:
        raise UsageError(f"export {parent} was split with the salt {before[1]!r}; give it again")
    return request


def _report(form: Format, choice: Choice, **written: Any) -> ExportReport:
    return ExportReport(
        form.name, choice.subjects, choice.removed, choice.facts["rows"],
        Counter(reason for _, reason in choice.retractions), warnings=choice.warnings, **written,
    )  # fmt: skip


def _write(
    store: Store, form: Format, request: ExportRequest, choice: Choice, making: Path, say: Say
) -> list[Written]:
    """Write the files of every split; the plan has them one after the other."""
    files: list[Written] = []
    first = 0
    spill = making / ".spill"
    with open_duck(spill, threads=request.threads) as duck, TemporaryFile(dir=making) as file:
        ordering = Ordering(file, stream_schema(choice.shape))
        for places, page in stream(store, choice.plan, choice.shape):
            ordering.put(places, page)
            say(f"read {ordering.held} of {choice.plan.num_rows} records")
        for split, rows in choice.facts["rows"].items():
            say(f"writing {split}")
            files += write_split(
                duck, form, choice.shape, request.packing, making, split, first, rows, ordering.take
            )
            first += rows
    shutil.rmtree(spill, ignore_errors=True)
    return files


def _publish(
    store: Store,
    form: Format,
    request: ExportRequest,
    choice: Choice,
    making: Path,
    files: list[Written],
) -> ExportReport:
    _check_hidden(store, choice)
    taken_back = _taken_back(store, choice)
    told = tell(store, form, request, choice, files, taken_back)
    if taken_back:
        write_retractions(making / "retractions.csv", taken_back)
    write_cards(making, Told(form, request.packing, choice.shape.makes, files, told, choice.facts))
    named = str(told["digest"])
    written = {"files": tuple(files), "folder": request.folder, "digest": named}
    if (same := export_log.known(store, named)) is not None:
        publish(making, request.folder)
        return _report(form, choice, export_id=same, known=True, **written)
    edition = edition_of(form, request, choice, files, named)
    rows = _rows(choice.plan, form)
    export_id = export_log.enter(
        store, edition, rows, choice.retractions, lambda: publish(making, request.folder)
    )
    return _report(form, choice, export_id=export_id, **written)


def _check_hidden(store: Store, choice: Choice) -> None:
    """What is taken down while an export runs must not be published by it."""
    with store.read() as connection:
        if hidden_samples(connection) - choice.hidden:
            raise UsageError("something was taken down during the export; run it again")


def _taken_back(store: Store, choice: Choice) -> list[dict[str, Any]]:
    if not choice.retractions:
        return []
    with store.read() as connection:
        return export_log.describe(connection, choice.retractions)


def _rows(plan: pa.Table, form: Format) -> Iterator[export_log.LedgerRow]:
    """The ledger's rows of a plan: chain, sample, split, state."""
    for batch in plan.select(["subject_id", "split", "state"]).to_batches(max_chunksize=20_000):
        ids, splits, states = (batch.column(i).to_pylist() for i in range(3))
        for i, name, state in zip(ids, splits, states, strict=True):
            chain, sample = (None, i) if form.record == "sample" else (i, None)
            yield chain, sample, name, state
