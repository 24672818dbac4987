"""What is at the provider: found again when it got lost, looked at, taken in when it has ended.

Decisions
- A batch that is bound, with a file noted, may have been made by a clerk who died before the id
  was noted. It is looked for by name before it is handed in again. Without a file it cannot be.
- Both files are read, whatever the end: what an expired or cancelled batch answered was paid.
- A refused file (`failed`) is nobody's fault and costs nothing: it waits and is handed in again.
  One that is over the queue limit all by itself, twice, goes back, and batches are half as large.
"""

from __future__ import annotations

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

RELIST_SECONDS = 5.0  # a provider's list may lag behind what it has just made
CLOCK_TOLERANCE = timedelta(hours=1)  # between our clock and the provider's
MAX_WAIT_SECONDS = 3600.0
MAX_SUBMISSIONS = 3  # how often a file is handed in that is refused for no limit
QUEUE_FULL = "token_limit_exceeded"
IS_BOUND = batches.c.state == "bound"
IS_SENT = batches.c.state == "sent"
HAS_FILES = batches.c.input_file.is_not(None)


def collect(visit: BatchPass) -> None:
    """Find what got lost, look at what is out, take in what has ended."""
    account = visit.session
    visit.for_each(account.find(IS_OPEN, IS_BOUND), find_lost)
    visit.for_each(account.find(IS_OPEN, IS_SENT), _poll)
    visit.for_each(account.find(batches.c.state == "ended", HAS_FILES), _delete_files)


# What got lost -------------------------------------------------------------------------------


def find_lost(visit: BatchPass, batch: BatchRow) -> None:
    """Find a batch at the provider by its name; what is not there is handed in again."""
    account, office = visit.session, visit.context
    if not office.transact(lambda c: acquire_batch(c, batch.id, office.worker_id)):
        return
    if batch.input_file is not None:
        if made := _named(account, batch):
            account.update(batch, remote_id=made[0].id, state="sent", status=made[0].status)
            visit.changed = True
            for double in made[1:]:
                account.api.cancel(double.id)
            return
        account.api.delete_file(batch.input_file)
        account.update(batch, input_file=None)
    elif not batch.refusals:
        account.api.delete_files_named(input_file_name(batch), _since(batch))
    if batch.teacher_id not in account.teachers:
        finish_batch(office, batch, error="never handed in")
        visit.changed = True


def _named(account: BatchSession, batch: BatchRow) -> list[ProviderBatch]:
    if made := account.api.find_by_name(batch.name, _since(batch)):
        return made
    time.sleep(RELIST_SECONDS)
    return account.api.find_by_name(batch.name, _since(batch))


def _since(batch: BatchRow) -> float:
    return (datetime.fromisoformat(batch.created_at) - CLOCK_TOLERANCE).timestamp()


# What is out ---------------------------------------------------------------------------------


def _poll(visit: BatchPass, batch: BatchRow) -> None:
    """Ask how a batch is; take it in if it has ended."""
    account, office = visit.session, visit.context
    if not office.transact(lambda c: acquire_batch(c, batch.id, office.worker_id)):
        return
    try:
        remote = account.api.retrieve(str(batch.remote_id))
    except CallError as fault:
        if fault.status != 404:
            raise
        visit.problems.append(
            f"{account.url} does not know batch {batch.id} ({batch.remote_id}): use the key of the "
            f"project that it was made in, or let go of it: annoy batch cancel {batch.id}"
        )
        return
    files = {"output_file": remote.output_file, "error_file": remote.error_file}
    account.update(batch, status=remote.status, polled_at=utc_now(), **files)
    visit.changed |= remote.status != batch.status
    if remote.status == "failed":
        _handle_refused(visit, batch, remote)
    elif not remote.is_live:
        _import_files(visit, batch, remote)


def _import_files(visit: BatchPass, batch: BatchRow, remote: ProviderBatch) -> None:
    """Take in both files of a batch, answers first, then let go what neither has."""
    visit.changed = True
    for file_id in filter(None, (remote.output_file, remote.error_file)):
        if not _import_file(visit, batch, file_id):
            return
    if remote.status == "completed":
        visit.count(count_missing_lines(visit.context, batch))
    finish_batch(visit.context, batch)
    (taken_in,) = visit.session.find(batches.c.id == batch.id)
    _delete_files(visit, taken_in)


def _import_file(visit: BatchPass, batch: BatchRow, file_id: str) -> bool:
    """Take in one file; say whether all of it could be."""
    with tempfile.TemporaryDirectory(prefix="annoy-") as folder:
        path = Path(folder) / "lines.jsonl"
        try:
            visit.session.api.download(file_id, path)
        except CallError as fault:
            if fault.status != 404:
                raise
            visit.count(
                finish_batch(visit.context, batch, lambda _: OUTPUT_GONE, error=fault.reason)
            )
            return False
        for page in result_pages(path):
            if visit.session.is_stopping():
                return False
            taken = import_results_page(visit.context, batch, page)
            visit.count(taken.job_states)
            if taken.stop_reason:
                visit.stop_reason = visit.stop_reason or visit.session.unavailable_message(
                    taken.stop_reason
                )
    return True


def _delete_files(visit: BatchPass, batch: BatchRow) -> None:
    """Delete the files of a batch that has ended."""
    names = ("output_file", "error_file", "input_file")
    for file_id in filter(None, (getattr(batch, name) for name in names)):
        visit.session.api.delete_file(file_id)
    visit.session.store.transact(lambda c: update_batch(c, batch.id, **dict.fromkeys(names)))


# What was refused ----------------------------------------------------------------------------


def _handle_refused(visit: BatchPass, batch: BatchRow, remote: ProviderBatch) -> None:
    """A whole file was refused: lines at fault fail, a full queue is waited for."""
    account, office = visit.session, visit.context
    first = next(iter(remote.errors), BatchError("failed", "no reason given"))
    words = f"{first.code}: {first.message}"
    visit.changed = True
    if at_fault := {c.line: c for c in remote.errors if c.line}:
        told = _outcomes_of_lines(account, batch, at_fault)
        visit.count(
            finish_batch(office, batch, lambda call: told.get(call, BACK_TO_PENDING), error=words)
        )
    elif first.code == QUEUE_FULL and _is_too_large(account, batch):
        finish_batch(office, batch, error=words)
    elif first.code != QUEUE_FULL and batch.refusals >= MAX_SUBMISSIONS - 1:
        finish_batch(office, batch, error=words)
        visit.stop_reason = f"{account.url} refuses batches ({words}): mend that, then run again"
    else:
        _schedule_resubmission(account, batch, words)
        visit.problems.append(
            f"batch {batch.id} was refused, waits and is handed in again ({words})"
        )
    if batch.input_file:
        account.api.delete_file(batch.input_file)


def _is_too_large(account: BatchSession, batch: BatchRow) -> bool:
    """Say whether a batch was over the limit before, and is now with no other of ours out."""
    same = batches.c.teacher_id == batch.teacher_id
    others = account.find(IS_OPEN, IS_SENT, same, batches.c.id != batch.id)
    return batch.refusals > 0 and batch.n_calls > 1 and not others


def _outcomes_of_lines(
    account: BatchSession, batch: BatchRow, lines: Mapping[int, BatchError]
) -> dict[int, Outcome]:
    """The ends of the calls whose lines a provider complains of; lines are in the order of calls."""
    with account.store.read() as connection:
        calls = open_calls(connection, batch.id, most=MAX_LINES)
    return {
        calls[n - 1]: failed(c.code, detail=c.message) for n, c in lines.items() if n <= len(calls)
    }


def _schedule_resubmission(account: BatchSession, batch: BatchRow, words: str) -> None:
    """Let a batch wait until it is handed in again, longer each time."""
    wait = min(MAX_WAIT_SECONDS, account.settings.poll_seconds * 2.0**batch.refusals)
    again = {"state": "bound", "remote_id": None, "input_file": None, "error": words}
    account.update(batch, **again, due_at=clock() + wait, refusals=batch.refusals + 1)
