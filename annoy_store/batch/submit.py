"""Submits pending calls: reserved, uploaded, created, each recorded before the next.

Decisions
- Rows are reserved (commit), the file is uploaded, its id is recorded (commit), the batch is created
  with our name in its metadata, its id is recorded (commit). Wherever that is interrupted, poll.py
  knows what may be at the provider; only the last step costs money.
- One run works on a batch at a time. A stale one, which was thought dead, finds that another has
  taken its batch, and cancels what it created.
- While a rejected batch waits, its teacher submits no other: the provider's queue is full.
"""

from __future__ import annotations

import logging
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

logger = logging.getLogger(__name__)

_DAY = timedelta(days=1)


def submit(batch_pass: BatchPass, limit: int | None = None) -> None:
    """Submit batches that are reserved and due, then pending calls.

    Args:
        batch_pass: The pass, which collects what was done and what went wrong.
        limit: At most this many calls.
    """
    session = batch_pass.session
    due = session.find(IS_OPEN, IS_BOUND, is_due(), batches.c.input_file.is_(None))
    ours = [batch for batch in due if batch.teacher_id in session.teachers]
    batch_pass.for_each(ours, _submit_batch)
    for teacher_id in session.teachers:
        while not batch_pass.is_finished and _submit_one(batch_pass, teacher_id, limit):
            continue


def _submit_one(batch_pass: BatchPass, teacher_id: int, limit: int | None) -> bool:
    """Reserve and submit one batch; return whether there may be more."""
    session = batch_pass.session
    left = reserve.MAX_LINES if limit is None else limit - batch_pass.submitted
    most = min(left, max_lines(batch_pass, teacher_id))
    if most < 1 or session.find(IS_OPEN, IS_BOUND, batches.c.teacher_id == teacher_id):
        return False
    draft = _reserve(batch_pass, teacher_id, most)
    if name := draft.exhausted_budget:
        batch_pass.exhausted_budget = budget_reached_message(name, session.caps[name])
    batch_pass.for_each(session.find(batches.c.id == draft.batch_id), _submit_batch)
    return bool(draft.batch_id) and not draft.exhausted_budget


def _reserve(batch_pass: BatchPass, teacher_id: int, most: int) -> BatchDraft:
    session, context = batch_pass.session, batch_pass.context
    answers = partition_filter(session.settings, session.teachers, teacher_id)
    draft = BatchDraft(
        teacher_id,
        session.teachers[teacher_id],
        "bound",
        reserve.answerable_variants(context, answers),
        session.caps,
        most,
        reserve.new_batch_name(),
    )
    return reserve.reserve_calls(context, draft, session.is_stopping)


def max_lines(batch_pass: BatchPass, teacher_id: int) -> int:
    """Return how many lines a batch may have.

    It is half of what was over the provider's queue limit within a day, else the setting.
    """
    day_ago = (datetime.now(UTC) - _DAY).isoformat()
    too_large = select(func.min(batches.c.n_calls)).where(
        batches.c.teacher_id == teacher_id,
        batches.c.state == "ended",
        batches.c.error.startswith(QUEUE_FULL),
        batches.c.polled_at > day_ago,
    )
    with batch_pass.session.store.read() as connection:
        least = connection.scalar(too_large)
    most = batch_pass.session.settings.batch_lines
    return most if least is None else max(1, min(most, int(least) // 2))


def _submit_batch(batch_pass: BatchPass, batch: BatchRow) -> None:
    """Upload the file of a batch and create the batch at the provider."""
    session, context = batch_pass.session, batch_pass.context
    if not context.transact(lambda c: acquire_batch(c, batch.id, context.worker_id)):
        return
    try:
        file_id = _upload(batch_pass, batch)
        if file_id is None:
            finish_batch(context, batch, error="no calls left")
            return
        remote = session.api.create(file_id, batch.name)
    except CallError as error:
        if not error.is_retryable:  # it was rejected, so there is no batch
            finish_batch(context, batch, error=error.reason)
        raise
    if _record_submitted(batch_pass, batch, remote):
        logger.info("batch %d: %d calls submitted as %s", batch.id, batch.n_calls, remote.id)
        batch_pass.submitted += batch.n_calls
        batch_pass.changed = True


def _record_submitted(batch_pass: BatchPass, batch: BatchRow, remote: ProviderBatch) -> bool:
    """Record that a batch is submitted, unless another run has taken it; return whether it is."""
    session = batch_pass.session
    columns = {"remote_id": remote.id, "state": "sent", "status": remote.status, "due_at": None}
    mine = batches.c.worker_id == batch_pass.context.worker_id
    if session.update(batch, IS_BOUND, mine, **columns):
        return True
    if not session.find(batches.c.id == batch.id, batches.c.remote_id == remote.id):
        logger.warning("batch %d was taken by another run: %s is cancelled", batch.id, remote.id)
        session.api.cancel(remote.id)
    return False


def _upload(batch_pass: BatchPass, batch: BatchRow) -> str | None:
    """Write and upload the file of a batch, and record its id; None if no call is left in it."""
    session, context = batch_pass.session, batch_pass.context
    with tempfile.TemporaryDirectory(prefix="annoy-") as folder:
        path = Path(folder) / input_file_name(batch)
        teacher = session.teachers[batch.teacher_id]
        if not reserve.write_requests(context, batch, teacher, path):
            return None
        file_id = session.api.upload(path)
    context.transact(lambda c: update_batch(c, batch.id, IS_OPEN, input_file=file_id))
    return file_id
