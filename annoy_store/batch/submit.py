"""What waits is handed in: bound, uploaded, created, each noted before the next.

Decisions
- Rows are bound (commit), the file goes up, its id is noted (commit), the batch is created with our
  name in its metadata, its id is noted (commit). Wherever that is cut off, poll.py knows what
  may be at the provider; only the last step costs money.
- A batch is in one clerk's hands. One that was thought dead and comes back late finds its batch in
  another's, and cancels what it made.
- While a refused batch waits, its teacher hands in no other: the provider has enough.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from annoy_store.batch import reserve
from annoy_store.batch.poll import IS_BOUND, QUEUE_FULL
from annoy_store.batch.reserve import BatchDraft
from annoy_store.batch.results import finish_batch
from annoy_store.batch.rows import (
    IS_OPEN,
    BatchRow,
    acquire_batch,
    input_file_name,
    is_due,
    update_batch,
)
from annoy_store.batch.session import BatchPass, partition_filter
from annoy_store.db.tables import batches
from annoy_store.inference.budgets import budget_reached_message
from annoy_store.inference.client.batch_types import ProviderBatch
from annoy_store.inference.client.errors import CallError

_DAY = timedelta(days=1)


def submit(visit: BatchPass, limit: int | None = None) -> None:
    """Hand in what is bound and due, then pending calls, at most `limit`."""
    account = visit.session
    due = account.find(IS_OPEN, IS_BOUND, is_due(), batches.c.input_file.is_(None))
    visit.for_each([b for b in due if b.teacher_id in account.teachers], _submit_batch)
    for teacher_id in account.teachers:
        while not visit.is_finished and _submit_one(visit, teacher_id, limit):
            continue


def _submit_one(visit: BatchPass, teacher_id: int, limit: int | None) -> bool:
    """Bind and send one batch; say whether there may be more."""
    account = visit.session
    left = reserve.MAX_LINES if limit is None else limit - visit.submitted
    most = min(left, max_lines(visit, teacher_id))
    if most < 1 or account.find(IS_OPEN, IS_BOUND, batches.c.teacher_id == teacher_id):
        return False
    filled = _reserve(visit, teacher_id, most)
    if filled.exhausted_budget:
        visit.exhausted_budget = budget_reached_message(
            filled.exhausted_budget, account.caps[filled.exhausted_budget]
        )
    visit.for_each(account.find(batches.c.id == filled.batch_id), _submit_batch)
    return bool(filled.batch_id) and not filled.exhausted_budget


def _reserve(visit: BatchPass, teacher_id: int, most: int) -> BatchDraft:
    account, office = visit.session, visit.context
    answers = partition_filter(account.settings, account.teachers, teacher_id)
    filling = BatchDraft(
        teacher_id,
        account.teachers[teacher_id],
        "bound",
        reserve.answerable_variants(office, answers),
        account.caps,
        most,
        reserve.new_batch_name(),
    )
    return reserve.reserve_calls(office, filling, account.is_stopping)


def max_lines(visit: BatchPass, teacher_id: int) -> int:
    """How many lines a batch may have: half of what was too much within a day."""
    day = (datetime.now(UTC) - _DAY).isoformat()
    too_many = select(func.min(batches.c.n_calls)).where(
        batches.c.teacher_id == teacher_id,
        batches.c.state == "ended",
        batches.c.error.startswith(QUEUE_FULL),
        batches.c.polled_at > day,
    )
    with visit.session.store.read() as connection:
        least = connection.scalar(too_many)
    most = visit.session.settings.batch_lines
    return most if least is None else max(1, min(most, int(least) // 2))


def _submit_batch(visit: BatchPass, batch: BatchRow) -> None:
    """Upload the file of a batch and let it be answered."""
    account, office = visit.session, visit.context
    if not office.transact(lambda c: acquire_batch(c, batch.id, office.worker_id)):
        return
    try:
        file_id = _upload(visit, batch)
        if file_id is None:
            finish_batch(office, batch, error="nothing left to ask")
            return
        remote = account.api.create(file_id, batch.name)
    except CallError as fault:
        if not fault.is_retryable:  # it said no, so there is no batch
            finish_batch(office, batch, error=fault.reason)
        raise
    if _record_submitted(visit, batch, remote):
        visit.submitted += batch.n_calls
        visit.changed = True


def _record_submitted(visit: BatchPass, batch: BatchRow, remote: ProviderBatch) -> bool:
    """Note that a batch is at the provider, unless somebody thought us dead and took it over."""
    account = visit.session
    noted = {"remote_id": remote.id, "state": "sent", "status": remote.status, "due_at": None}
    mine = batches.c.worker_id == visit.context.worker_id
    if account.update(batch, IS_BOUND, mine, **noted):
        return True
    if not account.find(batches.c.id == batch.id, batches.c.remote_id == remote.id):
        account.api.cancel(remote.id)
    return False


def _upload(visit: BatchPass, batch: BatchRow) -> str | None:
    """Write and send the file of a batch, and note its id; None if no call is left in it."""
    account, office = visit.session, visit.context
    with tempfile.TemporaryDirectory(prefix="annoy-") as folder:
        path = Path(folder) / input_file_name(batch)
        teacher = account.teachers[batch.teacher_id]
        if not reserve.write_requests(office, batch, teacher, path):
            return None
        file_id = account.api.upload(path)
    office.transact(lambda c: update_batch(c, batch.id, IS_OPEN, input_file=file_id))
    return file_id
