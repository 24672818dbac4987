"""Polls submitted batches, imports finished results, and finds batches that were lost.

Decisions
- A batch in state `bound`, with an uploaded file, may have been created by a run that died before
  it recorded the id. It is looked for by name before it is submitted again. Without a file it
  cannot have been created.
- Both result files are read, whatever the end: what an expired or cancelled batch answered was
  paid for.
- A refused input file (`failed`) is no call's fault and costs nothing: it waits and is submitted
  again. One that is over the provider's queue limit by itself, twice, goes back to pending, and
  later batches are half as large.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from annoy_store.batch.jsonl import result_pages
from annoy_store.batch.reserve import MAX_LINES
from annoy_store.batch.results import (
    BACK_TO_PENDING,
    OUTPUT_GONE,
    count_missing_lines,
    finish_batch,
    import_results_page,
)
from annoy_store.batch.rows import (
    IS_OPEN,
    BatchRow,
    acquire_batch,
    input_file_name,
    open_calls,
    update_batch,
)
from annoy_store.batch.session import BatchPass, BatchSession
from annoy_store.db.sql import clock
from annoy_store.db.tables import batches
from annoy_store.db.timestamps import utc_now
from annoy_store.inference.client.batch_types import BatchError, ProviderBatch
from annoy_store.inference.client.errors import CallError
from annoy_store.interfaces import Outcome, failed

logger = logging.getLogger(__name__)

RELIST_SECONDS = 5.0  # a provider's list may lag behind what was just created
CLOCK_TOLERANCE = timedelta(hours=1)  # between our clock and the provider's
MAX_WAIT_SECONDS = 3600.0
MAX_SUBMISSIONS = 3  # of a file that is refused for another reason than a limit
QUEUE_FULL = "token_limit_exceeded"
IS_BOUND = batches.c.state == "bound"
IS_SENT = batches.c.state == "sent"
HAS_FILES = batches.c.input_file.is_not(None)


def collect(batch_pass: BatchPass) -> None:
    """Find lost batches, poll submitted ones, and import what has ended.

    Args:
        batch_pass: The pass, which collects what was done and what went wrong.
    """
    session = batch_pass.session
    batch_pass.for_each(session.find(IS_OPEN, IS_BOUND), find_lost)
    batch_pass.for_each(session.find(IS_OPEN, IS_SENT), _poll)
    batch_pass.for_each(session.find(batches.c.state == "ended", HAS_FILES), _delete_files)


# Lost batches --------------------------------------------------------------------------------


def find_lost(batch_pass: BatchPass, batch: BatchRow) -> None:
    """Find a batch at the provider by its name; if it is not there, it is submitted again."""
    session, context = batch_pass.session, batch_pass.context
    if not context.transact(lambda c: acquire_batch(c, batch.id, context.worker_id)):
        return
    if batch.input_file is not None:
        if found := _find_by_name(session, batch):
            first, *duplicates = found
            logger.info("batch %d was found at the provider: %s", batch.id, first.id)
            session.update(batch, remote_id=first.id, state="sent", status=first.status)
            batch_pass.changed = True
            for duplicate in duplicates:
                session.api.cancel(duplicate.id)
            return
        session.api.delete_file(batch.input_file)
        session.update(batch, input_file=None)
    elif not batch.refusals:
        session.api.delete_files_named(input_file_name(batch), _since(batch))
    if batch.teacher_id not in session.teachers:
        finish_batch(context, batch, error="never submitted")
        batch_pass.changed = True


def _find_by_name(session: BatchSession, batch: BatchRow) -> list[ProviderBatch]:
    if found := session.api.find_by_name(batch.name, _since(batch)):
        return found
    time.sleep(RELIST_SECONDS)
    return session.api.find_by_name(batch.name, _since(batch))


def _since(batch: BatchRow) -> float:
    return (datetime.fromisoformat(batch.created_at) - CLOCK_TOLERANCE).timestamp()


# Submitted batches ---------------------------------------------------------------------------


def _poll(batch_pass: BatchPass, batch: BatchRow) -> None:
    """Retrieve the state of a batch; import its results if it has ended."""
    session, context = batch_pass.session, batch_pass.context
    if not context.transact(lambda c: acquire_batch(c, batch.id, context.worker_id)):
        return
    try:
        remote = session.api.retrieve(str(batch.remote_id))
    except CallError as error:
        if error.status != 404:
            raise
        batch_pass.problems.append(
            f"{session.url} does not know batch {batch.id} ({batch.remote_id}): use the key of the "
            f"project in which it was created, or release it: annoy batch cancel {batch.id}"
        )
        return
    files = {"output_file": remote.output_file, "error_file": remote.error_file}
    session.update(batch, status=remote.status, polled_at=utc_now(), **files)
    batch_pass.changed |= remote.status != batch.status
    if remote.status == "failed":
        _handle_refused(batch_pass, batch, remote)
    elif not remote.is_live:
        _import_files(batch_pass, batch, remote)


def _import_files(batch_pass: BatchPass, batch: BatchRow, remote: ProviderBatch) -> None:
    """Import both files of a batch, answers first; calls that neither has go back to pending."""
    batch_pass.changed = True
    for file_id in filter(None, (remote.output_file, remote.error_file)):
        if not _import_file(batch_pass, batch, file_id):
            return
    if remote.status == "completed":
        batch_pass.count(count_missing_lines(batch_pass.context, batch))
    finish_batch(batch_pass.context, batch)
    logger.info("batch %d: results imported (%s)", batch.id, remote.status)
    (ended,) = batch_pass.session.find(batches.c.id == batch.id)
    _delete_files(batch_pass, ended)


def _import_file(batch_pass: BatchPass, batch: BatchRow, file_id: str) -> bool:
    """Import one file; return whether all of it was imported."""
    with tempfile.TemporaryDirectory(prefix="annoy-") as folder:
        path = Path(folder) / "lines.jsonl"
        try:
            batch_pass.session.api.download(file_id, path)
        except CallError as error:
            if error.status != 404:
                raise
            states = finish_batch(
                batch_pass.context, batch, lambda _: OUTPUT_GONE, error=error.reason
            )
            batch_pass.count(states)
            return False
        for page in result_pages(path):
            if batch_pass.session.is_stopping():
                return False
            imported = import_results_page(batch_pass.context, batch, page)
            batch_pass.count(imported.job_states)
            if imported.stop_reason and not batch_pass.stop_reason:
                batch_pass.stop_reason = batch_pass.session.unavailable_message(
                    imported.stop_reason
                )
    return True


def _delete_files(batch_pass: BatchPass, batch: BatchRow) -> None:
    """Delete the files of a batch that has ended."""
    names = ("output_file", "error_file", "input_file")
    for file_id in filter(None, (getattr(batch, name) for name in names)):
        batch_pass.session.api.delete_file(file_id)
    batch_pass.session.store.transact(lambda c: update_batch(c, batch.id, **dict.fromkeys(names)))


# Refused input files -------------------------------------------------------------------------


def _handle_refused(batch_pass: BatchPass, batch: BatchRow, remote: ProviderBatch) -> None:
    """Fail the calls of invalid lines, or wait while the provider's queue is full."""
    session, context = batch_pass.session, batch_pass.context
    first = next(iter(remote.errors), BatchError("failed", "no reason given"))
    reason = f"{first.code}: {first.message}"
    batch_pass.changed = True
    if invalid := {error.line: error for error in remote.errors if error.line}:
        outcomes = _outcomes_of_lines(session, batch, invalid)
        states = finish_batch(
            context, batch, lambda call: outcomes.get(call, BACK_TO_PENDING), error=reason
        )
        batch_pass.count(states)
    elif first.code == QUEUE_FULL and _is_too_large(session, batch):
        finish_batch(context, batch, error=reason)
    elif first.code != QUEUE_FULL and batch.refusals >= MAX_SUBMISSIONS - 1:
        finish_batch(context, batch, error=reason)
        batch_pass.stop_reason = (
            f"{session.url} rejects batches ({reason}): fix that, then run again"
        )
    else:
        _schedule_resubmission(session, batch, reason)
        batch_pass.problems.append(
            f"batch {batch.id} was rejected and will be submitted again ({reason})"
        )
    if batch.input_file:
        session.api.delete_file(batch.input_file)


def _is_too_large(session: BatchSession, batch: BatchRow) -> bool:
    """Return whether a batch was over the limit before, and is now while no other is submitted."""
    same = batches.c.teacher_id == batch.teacher_id
    others = session.find(IS_OPEN, IS_SENT, same, batches.c.id != batch.id)
    return batch.refusals > 0 and batch.n_calls > 1 and not others


def _outcomes_of_lines(
    session: BatchSession, batch: BatchRow, lines: Mapping[int, BatchError]
) -> dict[int, Outcome]:
    """Return the outcomes of the calls of invalid lines; lines are in the order of calls."""
    with session.store.read() as connection:
        calls = open_calls(connection, batch.id, most=MAX_LINES)
    return {
        calls[number - 1]: failed(error.code, detail=error.message)
        for number, error in lines.items()
        if number <= len(calls)
    }


def _schedule_resubmission(session: BatchSession, batch: BatchRow, reason: str) -> None:
    """Let a batch wait until it is submitted again, longer each time."""
    wait = min(MAX_WAIT_SECONDS, session.settings.poll_seconds * 2.0**batch.refusals)
    logger.info("batch %d was rejected (%s): submitted again in %.0f s", batch.id, reason, wait)
    again = {"state": "bound", "remote_id": None, "input_file": None, "error": reason}
    session.update(batch, **again, due_at=clock() + wait, refusals=batch.refusals + 1)
