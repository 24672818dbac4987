"""Batches by way of a file: written for `vllm run-batch`, Azure or a hand, and taken back.

Decisions
- A file that is written binds its calls as a batch that is handed in does: nobody else asks them
  until their answers are imported, or the batch is let go. Rows come first here, too.
- Answers are taken in from any number of files in any order, and twice as well as once. What has no
  line yet stays bound, for providers write answers and errors to two files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annoy_store.batch import reserve
from annoy_store.batch.jsonl import ResultLine, result_pages
from annoy_store.batch.reserve import BatchDraft
from annoy_store.batch.results import ImportedPage, finish_batch, import_results_page
from annoy_store.batch.rows import (
    IS_OPEN,
    BatchContext,
    BatchRow,
    acquire_batch,
    find_batches,
    open_calls,
)
from annoy_store.batch.session import (
    Teachers,
    batch_teachers,
    open_budgets,
    open_context,
    partition_filter,
)
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.tables import batches
from annoy_store.errors import UsageError
from annoy_store.inference.budgets import budget_reached_message


@dataclass(frozen=True)
class ExportedRequests:
    """What a file holds: lines of a batch, its size in bytes; a budget that allowed no more."""

    batch_id: int
    lines: int
    size: int
    spent: str | None = None


@dataclass
class ImportedResults:
    """What came of the lines for one batch, and how many of its calls have none yet."""

    batch_id: int
    ended: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    again: int = 0  # pending again: they went wrong, or nobody worked on them
    known: int = 0  # lines that were taken in before
    missing: int = 0
    stop: str | None = None


# Out -----------------------------------------------------------------------------------------


def export_requests(
    store: Database, settings: RunSettings, path: Path, most: int | None = None
) -> ExportedRequests | None:
    """Bind pending calls and write their questions to `path`; None if nothing is pending.

    Raises UsageError if that file is there or cannot be written.
    """
    _check_target(path)
    teachers = batch_teachers(store, settings)
    caps = open_budgets(store, settings, teachers)
    with open_context(store, settings) as office:
        for teacher_id, teacher in teachers.items():
            variants = reserve.answerable_variants(
                office, partition_filter(settings, teachers, teacher_id)
            )
            lines = min(most or settings.batch_lines, settings.batch_lines)
            filling = reserve.reserve_calls(
                office,
                BatchDraft(
                    teacher_id, teacher, "exported", variants, caps, lines, reserve.new_batch_name()
                ),
                lambda: False,
            )
            spent = (
                budget_reached_message(filling.exhausted_budget, caps[filling.exhausted_budget])
                if filling.exhausted_budget
                else None
            )
            if filling.batch_id:
                n = _write(office, filling.batch_id, teachers, path)
                return ExportedRequests(filling.batch_id, n, path.stat().st_size, spent)
            if spent:
                raise UsageError(f"{spent}; raise it to go on: nothing was written")
    return None


def export_again(
    store: Database, settings: RunSettings, batch_id: int, path: Path
) -> ExportedRequests:
    """Write the file of an exported batch once more. Raises UsageError."""
    _check_target(path)
    teachers = batch_teachers(store, settings)
    with open_context(store, settings) as office:
        n = _write(office, batch_id, teachers, path)
    return ExportedRequests(batch_id, n, path.stat().st_size)


def _check_target(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} is there already: give another name, or move it away")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"{path.resolve().parent} is not there: make that folder first")


def _write(office: BatchContext, batch_id: int, teachers: Teachers, path: Path) -> int:
    """Write the file of a batch: it has its name when it is whole."""
    with office.store.read() as connection:
        known = find_batches(
            connection, IS_OPEN, batches.c.id == batch_id, batches.c.state == "exported"
        )
    if not known:
        raise UsageError(f"batch {batch_id} is no batch that was exported: annoy batch status")
    (batch,) = known
    if batch.teacher_id not in teachers:
        raise UsageError(
            f"batch {batch_id} asks {batch.model} with other settings: give those that it was made "
            f"with, or let it go: annoy batch cancel {batch_id}"
        )
    part = path.with_name(path.name + ".part")
    try:
        n = reserve.write_requests(office, batch, teachers[batch.teacher_id], part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path}: {error.strerror}; the calls are bound to batch {batch_id}: "
            f"annoy batch export FILE --batch {batch_id}, or annoy batch cancel {batch_id}"
        ) from None
    return n


# Back ----------------------------------------------------------------------------------------


def import_results(
    store: Database, settings: RunSettings, paths: Sequence[Path]
) -> tuple[list[ImportedResults], int]:
    """Take in the answers in files; return what came of it by batch, and lines of no batch here.

    Raises UsageError for a file that cannot be read.
    """
    told: dict[str, ImportedResults] = {}
    known: dict[str, BatchRow | None] = {}
    strangers = 0
    with open_context(store, settings) as office:
        for path in paths:
            try:
                for page in result_pages(path):
                    strangers += _import_page(office, page, known, told)
            except OSError as error:
                raise UsageError(f"cannot read {path}: {error.strerror}") from None
        for name, back in told.items():
            _finish_if_complete(office, known[name], back)
    return list(told.values()), strangers


def _import_page(
    office: BatchContext,
    page: Sequence[ResultLine],
    known: dict[str, BatchRow | None],
    told: dict[str, ImportedResults],
) -> int:
    """Take in a page of lines, batch by batch; return how many are of no batch that is here."""
    strangers = 0
    for name in dict.fromkeys(reply.batch_name for reply in page):
        mine = [reply for reply in page if reply.batch_name == name]
        if name not in known:
            known[name] = _find_by_name(office, name)
        batch = known[name]
        if batch is None:
            strangers += len(mine)
            continue
        back = told.setdefault(name, ImportedResults(batch.id))
        _add_page(back, import_results_page(office, batch, mine), len(mine))
    return strangers


def _find_by_name(office: BatchContext, name: str) -> BatchRow | None:
    with office.store.read() as connection:
        return next(iter(find_batches(connection, batches.c.name == name)), None)


def _add_page(back: ImportedResults, taken: ImportedPage, lines: int) -> None:
    back.ended += taken.job_states
    back.again += taken.job_states["pending"]
    back.lines += taken.lines
    back.known += lines - taken.lines
    back.stop = back.stop or taken.stop_reason


def _finish_if_complete(
    office: BatchContext, batch: BatchRow | None, back: ImportedResults
) -> None:
    """End a batch of which every call has its line; count those that have none."""
    if batch is None:
        return
    with office.store.read() as connection:
        back.missing = len(open_calls(connection, batch.id, most=reserve.MAX_LINES))
    if batch.state == "exported" and not back.missing:
        finish_batch(office, batch)


# Letting go ----------------------------------------------------------------------------------


def release(store: Database, settings: RunSettings, batch: BatchRow) -> None:
    """Give the calls of a batch that is at no provider back. Raises UsageError if it is in use."""
    with open_context(store, settings) as office:
        if not office.transact(lambda c: acquire_batch(c, batch.id, office.worker_id)):
            raise UsageError(f"batch {batch.id} is being dealt with by another run: wait for it")
        finish_batch(office, batch, error="let go")
