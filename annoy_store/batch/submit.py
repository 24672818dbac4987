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
from annoy_store.batch.poll import BOUND, QUEUE_FULL
from annoy_store.batch.reserve import Filling
from annoy_store.batch.results import finish
from annoy_store.batch.rows import OPEN, Held, change, due_now, file_name, take_hold
from annoy_store.batch.session import Visit, answered_by
from annoy_store.db.tables import batches
from annoy_store.inference.budgets import told_reached
from annoy_store.inference.client.batch_types import Remote
from annoy_store.inference.client.errors import Fault

_DAY = timedelta(days=1)


def hand_in(visit: Visit, limit: int | None = None) -> None:
    """Hand in what is bound and due, then pending calls, at most `limit`."""
    account = visit.account
    due = account.found(OPEN, BOUND, due_now(), batches.c.input_file.is_(None))
    visit.each([b for b in due if b.teacher_id in account.teachers], _send)
    for teacher_id in account.teachers:
        while not visit.is_over and _hand_in_one(visit, teacher_id, limit):
            continue


def _hand_in_one(visit: Visit, teacher_id: int, limit: int | None) -> bool:
    """Bind and send one batch; say whether there may be more."""
    account = visit.account
    left = reserve.MOST_LINES if limit is None else limit - visit.sent
    most = min(left, most_lines(visit, teacher_id))
    if most < 1 or account.found(OPEN, BOUND, batches.c.teacher_id == teacher_id):
        return False
    filled = _bind(visit, teacher_id, most)
    if filled.reached:
        visit.spent = told_reached(filled.reached, account.caps[filled.reached])
    visit.each(account.found(batches.c.id == filled.batch_id), _send)
    return bool(filled.batch_id) and not filled.reached


def _bind(visit: Visit, teacher_id: int, most: int) -> Filling:
    account, office = visit.account, visit.office
    answers = answered_by(account.settings, account.teachers, teacher_id)
    filling = Filling(
        teacher_id, account.teachers[teacher_id], "bound",
        reserve.variants_of(office, answers), account.caps, most, reserve.new_name(),
    )  # fmt: skip
    return reserve.bind(office, filling, account.stopping)


def most_lines(visit: Visit, teacher_id: int) -> int:
    """How many lines a batch may have: half of what was too much within a day."""
    day = (datetime.now(UTC) - _DAY).isoformat()
    too_many = select(func.min(batches.c.n_calls)).where(
        batches.c.teacher_id == teacher_id, batches.c.state == "ended",
        batches.c.error.startswith(QUEUE_FULL), batches.c.polled_at > day,
    )  # fmt: skip
    with visit.account.store.read() as connection:
        least = connection.scalar(too_many)
    most = visit.account.settings.batch_lines
    return most if least is None else max(1, min(most, int(least) // 2))


def _send(visit: Visit, batch: Held) -> None:
    """Upload the file of a batch and let it be answered."""
    account, office = visit.account, visit.office
    if not office.transact(lambda c: take_hold(c, batch.id, office.worker_id)):
        return
    try:
        file_id = _upload(visit, batch)
        if file_id is None:
            finish(office, batch, error="nothing left to ask")
            return
        remote = account.wire.create(file_id, batch.name)
    except Fault as fault:
        if not fault.again:  # it said no, so there is no batch
            finish(office, batch, error=fault.reason)
        raise
    if _note_sent(visit, batch, remote):
        visit.sent += batch.n_calls
        visit.moved = True


def _note_sent(visit: Visit, batch: Held, remote: Remote) -> bool:
    """Note that a batch is at the provider, unless somebody thought us dead and took it over."""
    account = visit.account
    noted = {"remote_id": remote.id, "state": "sent", "status": remote.status, "due_at": None}
    mine = batches.c.worker_id == visit.office.worker_id
    if account.note(batch, BOUND, mine, **noted):
        return True
    if not account.found(batches.c.id == batch.id, batches.c.remote_id == remote.id):
        account.wire.cancel(remote.id)
    return False


def _upload(visit: Visit, batch: Held) -> str | None:
    """Write and send the file of a batch, and note its id; None if no call is left in it."""
    account, office = visit.account, visit.office
    with tempfile.TemporaryDirectory(prefix="annoy-") as folder:
        path = Path(folder) / file_name(batch)
        teacher = account.teachers[batch.teacher_id]
        if not reserve.write_questions(office, batch, teacher, path):
            return None
        file_id = account.wire.upload(path)
    office.transact(lambda c: change(c, batch.id, OPEN, input_file=file_id))
    return file_id
