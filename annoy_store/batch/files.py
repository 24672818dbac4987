"""Batches by way of files: written for `vllm run-batch`, Azure or an upload by hand, and imported.

Decisions
- A file that is written reserves its calls as a submitted batch does: nothing else sends them until
  their results are imported or the batch is released. Rows come first here, too.
- Results are imported from any number of files in any order, and twice as well as once. Calls
  without a line stay reserved, because providers write answers and errors to two files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    """A file of requests.

    Attributes:
        batch_id: The batch whose requests it holds.
        n_lines: How many requests it holds.
        n_bytes: Its size.
        exhausted_budget: The message of a budget that allowed no more calls.
    """

    batch_id: int
    n_lines: int
    n_bytes: int
    exhausted_budget: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as `annoy batch export --json` prints it."""
        return {
            "batch_id": self.batch_id,
            "lines": self.n_lines,
            "size": self.n_bytes,
            "spent": self.exhausted_budget,
        }


@dataclass
class ImportedResults:
    """What became of the results of one batch.

    Attributes:
        batch_id: The batch.
        job_states: How many calls ended in which job state.
        n_lines: How many lines were imported.
        n_pending: How many calls are pending again, because they failed or were not processed.
        n_known: How many lines had been imported before.
        n_missing: How many calls have no line yet.
        stop_reason: Why no call can succeed, if a line reports it.
    """

    batch_id: int
    job_states: Counter[str] = field(default_factory=Counter)
    n_lines: int = 0
    n_pending: int = 0
    n_known: int = 0
    n_missing: int = 0
    stop_reason: str | None = None

    def add(self, page: ImportedPage, n_lines: int) -> None:
        """Add a page of `n_lines` lines."""
        self.job_states += page.job_states
        self.n_pending += page.job_states["pending"]
        self.n_lines += page.lines
        self.n_known += n_lines - page.lines
        self.stop_reason = self.stop_reason or page.stop_reason

    def as_dict(self) -> dict[str, Any]:
        """Return it as `annoy batch import --json` prints it."""
        return {
            "batch_id": self.batch_id,
            "ended": dict(self.job_states),
            "lines": self.n_lines,
            "again": self.n_pending,
            "known": self.n_known,
            "missing": self.n_missing,
            "stop": self.stop_reason,
        }


# Export --------------------------------------------------------------------------------------


def export_requests(
    store: Database, settings: RunSettings, path: Path, most: int | None = None
) -> ExportedRequests | None:
    """Reserve pending calls and write their requests to a file.

    Args:
        store: The store.
        settings: Name the model and the budgets.
        path: The file to write.
        most: At most this many calls.

    Returns:
        The file's batch and size; None if nothing is pending.

    Raises:
        UsageError: The file exists or cannot be written, or a budget allows no call.
    """
    _check_target(path)
    teachers = batch_teachers(store, settings)
    caps = open_budgets(store, settings, teachers)
    with open_context(store, settings) as context:
        for teacher_id, teacher in teachers.items():
            answers = partition_filter(settings, teachers, teacher_id)
            variants = reserve.answerable_variants(context, answers)
            lines = min(most or settings.batch_lines, settings.batch_lines)
            name = reserve.new_batch_name()
            empty = BatchDraft(teacher_id, teacher, "exported", variants, caps, lines, name)
            draft = reserve.reserve_calls(context, empty, lambda: False)
            exhausted = None
            if budget := draft.exhausted_budget:
                exhausted = budget_reached_message(budget, caps[budget])
            if draft.batch_id:
                n = _write(context, draft.batch_id, teachers, path)
                return ExportedRequests(draft.batch_id, n, path.stat().st_size, exhausted)
            if exhausted:
                raise UsageError(f"{exhausted}; raise it to go on: nothing was written")
    return None


def export_again(
    store: Database, settings: RunSettings, batch_id: int, path: Path
) -> ExportedRequests:
    """Write the file of an exported batch once more.

    Args:
        store: The store.
        settings: The settings under which the batch was exported.
        batch_id: Id of the batch.
        path: File to write; it must not exist.

    Raises:
        UsageError: The batch was not exported, the settings differ from its own, or the file
            exists or cannot be written.
    """
    _check_target(path)
    teachers = batch_teachers(store, settings)
    with open_context(store, settings) as context:
        n = _write(context, batch_id, teachers, path)
    return ExportedRequests(batch_id, n, path.stat().st_size)


def _check_target(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} exists already: give another name, or move it away")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"{path.resolve().parent} does not exist: create that folder first")


def _write(context: BatchContext, batch_id: int, teachers: Teachers, path: Path) -> int:
    """Write the file of a batch; it gets its name when it is complete."""
    with context.store.read() as connection:
        exported = batches.c.id == batch_id, batches.c.state == "exported"
        known = find_batches(connection, IS_OPEN, *exported)
    if not known:
        raise UsageError(f"batch {batch_id} is no batch that was exported: annoy batch status")
    (batch,) = known
    if batch.teacher_id not in teachers:
        raise UsageError(
            f"batch {batch_id} asks {batch.model} with other settings: give those that it was "
            f"exported with, or release it: annoy batch cancel {batch_id}"
        )
    part = path.with_name(path.name + ".part")
    try:
        n = reserve.write_requests(context, batch, teachers[batch.teacher_id], part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path}: {error.strerror}; the calls are reserved for batch {batch_id}: "
            f"annoy batch export FILE --batch {batch_id}, or annoy batch cancel {batch_id}"
        ) from None
    return n


# Import --------------------------------------------------------------------------------------


def import_results(
    store: Database, settings: RunSettings, paths: Sequence[Path]
) -> tuple[list[ImportedResults], int]:
    """Import the results in files.

    Args:
        store: The store.
        settings: Say how many tries a call has.
        paths: Files of answers and of errors, in any order.

    Returns:
        What became of them, by batch; and the number of lines of no batch in this store.

    Raises:
        UsageError: A file cannot be read.
    """
    imported: dict[str, ImportedResults] = {}
    known: dict[str, BatchRow | None] = {}
    n_unknown = 0
    with open_context(store, settings) as context:
        for path in paths:
            try:
                for page in result_pages(path):
                    n_unknown += _import_page(context, page, known, imported)
            except OSError as error:
                raise UsageError(f"cannot read {path}: {error.strerror}") from None
        for name, results in imported.items():
            _finish_if_complete(context, known[name], results)
    return list(imported.values()), n_unknown


def _import_page(
    context: BatchContext,
    page: Sequence[ResultLine],
    known: dict[str, BatchRow | None],
    imported: dict[str, ImportedResults],
) -> int:
    """Import a page of lines, batch by batch; return how many belong to no batch of the store."""
    n_unknown = 0
    for name in dict.fromkeys(line.batch_name for line in page):
        lines = [line for line in page if line.batch_name == name]
        if name not in known:
            known[name] = _find_by_name(context, name)
        batch = known[name]
        if batch is None:
            n_unknown += len(lines)
            continue
        results = imported.setdefault(name, ImportedResults(batch.id))
        results.add(import_results_page(context, batch, lines), len(lines))
    return n_unknown


def _find_by_name(context: BatchContext, name: str) -> BatchRow | None:
    with context.store.read() as connection:
        return next(iter(find_batches(connection, batches.c.name == name)), None)


def _finish_if_complete(
    context: BatchContext, batch: BatchRow | None, results: ImportedResults
) -> None:
    """End a batch if every call of it has a result; count those that have none."""
    if batch is None:
        return
    with context.store.read() as connection:
        results.n_missing = len(open_calls(connection, batch.id, most=reserve.MAX_LINES))
    if batch.state == "exported" and not results.n_missing:
        finish_batch(context, batch)


# Release -------------------------------------------------------------------------------------


def release(store: Database, settings: RunSettings, batch: BatchRow) -> None:
    """Return the calls of a batch that is at no provider to pending.

    Args:
        store: The store.
        settings: The settings of this machine.
        batch: A batch that was reserved or exported.

    Raises:
        UsageError: Another run works on the batch.
    """
    with open_context(store, settings) as context:
        if not context.transact(lambda c: acquire_batch(c, batch.id, context.worker_id)):
            raise UsageError(f"batch {batch.id} is in use by another run: wait for it")
        finish_batch(context, batch, error="released")
