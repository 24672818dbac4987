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

from annoy_store.batch.jsonl import replies
from annoy_store.batch.reserve import MOST_LINES
from annoy_store.batch.results import BACK, GONE, finish, take, unanswered
from annoy_store.batch.rows import OPEN, Held, change, file_name, open_calls, take_hold
from annoy_store.batch.session import Account, Visit
from annoy_store.db.sql import clock
from annoy_store.db.tables import batches
from annoy_store.db.timestamps import utc_now
from annoy_store.inference.client.batch_types import Complaint, Remote
from annoy_store.inference.client.errors import Fault
from annoy_store.interfaces import Outcome, failed

LOOK_AGAIN_SECONDS = 5.0  # a provider's list may lag behind what it has just made
SLACK = timedelta(hours=1)  # between our clock and the provider's
LONGEST_WAIT = 3600.0
HOPES = 3  # how often a file is handed in that is refused for no limit
QUEUE_FULL = "token_limit_exceeded"
BOUND = batches.c.state == "bound"
SENT = batches.c.state == "sent"
WITH_FILES = batches.c.input_file.is_not(None)


def collect(visit: Visit) -> None:
    """Find what got lost, look at what is out, take in what has ended."""
    account = visit.account
    visit.each(account.found(OPEN, BOUND), adopt)
    visit.each(account.found(OPEN, SENT), _look)
    visit.each(account.found(batches.c.state == "ended", WITH_FILES), _tidy)


# What got lost -------------------------------------------------------------------------------


def adopt(visit: Visit, batch: Held) -> None:
    """Find a batch at the provider by its name; what is not there is handed in again."""
    account, office = visit.account, visit.office
    if not office.transact(lambda c: take_hold(c, batch.id, office.worker_id)):
        return
    if batch.input_file is not None:
        if made := _named(account, batch):
            account.note(batch, remote_id=made[0].id, state="sent", status=made[0].status)
            visit.moved = True
            for double in made[1:]:
                account.wire.cancel(double.id)
            return
        account.wire.forget(batch.input_file)
        account.note(batch, input_file=None)
    elif not batch.refusals:
        account.wire.forget_named(file_name(batch), _since(batch))
    if batch.teacher_id not in account.teachers:
        finish(office, batch, error="never handed in")
        visit.moved = True


def _named(account: Account, batch: Held) -> list[Remote]:
    if made := account.wire.find(batch.name, _since(batch)):
        return made
    time.sleep(LOOK_AGAIN_SECONDS)
    return account.wire.find(batch.name, _since(batch))


def _since(batch: Held) -> float:
    return (datetime.fromisoformat(batch.created_at) - SLACK).timestamp()


# What is out ---------------------------------------------------------------------------------


def _look(visit: Visit, batch: Held) -> None:
    """Ask how a batch is; take it in if it has ended."""
    account, office = visit.account, visit.office
    if not office.transact(lambda c: take_hold(c, batch.id, office.worker_id)):
        return
    try:
        remote = account.wire.look(str(batch.remote_id))
    except Fault as fault:
        if fault.status != 404:
            raise
        visit.troubles.append(
            f"{account.url} does not know batch {batch.id} ({batch.remote_id}): use the key of the "
            f"project that it was made in, or let go of it: annoy batch cancel {batch.id}"
        )
        return
    files = {"output_file": remote.output_file, "error_file": remote.error_file}
    account.note(batch, status=remote.status, polled_at=utc_now(), **files)
    visit.moved |= remote.status != batch.status
    if remote.status == "failed":
        _refused(visit, batch, remote)
    elif not remote.is_live:
        _take_in(visit, batch, remote)


def _take_in(visit: Visit, batch: Held, remote: Remote) -> None:
    """Take in both files of a batch, answers first, then let go what neither has."""
    visit.moved = True
    for file_id in filter(None, (remote.output_file, remote.error_file)):
        if not _read(visit, batch, file_id):
            return
    if remote.status == "completed":
        visit.note(unanswered(visit.office, batch))
    finish(visit.office, batch)
    (taken_in,) = visit.account.found(batches.c.id == batch.id)
    _tidy(visit, taken_in)


def _read(visit: Visit, batch: Held, file_id: str) -> bool:
    """Take in one file; say whether all of it could be."""
    with tempfile.TemporaryDirectory(prefix="annoy-") as folder:
        path = Path(folder) / "lines.jsonl"
        try:
            visit.account.wire.fetch(file_id, path)
        except Fault as fault:
            if fault.status != 404:
                raise
            visit.note(finish(visit.office, batch, lambda _: GONE, error=fault.reason))
            return False
        for page in replies(path):
            if visit.account.stopping():
                return False
            taken = take(visit.office, batch, page)
            visit.note(taken.ended)
            if taken.stop:
                visit.stop = visit.stop or visit.account.told(taken.stop)
    return True


def _tidy(visit: Visit, batch: Held) -> None:
    """Delete the files of a batch that has ended."""
    names = ("output_file", "error_file", "input_file")
    for file_id in filter(None, (getattr(batch, name) for name in names)):
        visit.account.wire.forget(file_id)
    visit.account.store.transact(lambda c: change(c, batch.id, **dict.fromkeys(names)))


# What was refused ----------------------------------------------------------------------------


def _refused(visit: Visit, batch: Held, remote: Remote) -> None:
    """A whole file was refused: lines at fault fail, a full queue is waited for."""
    account, office = visit.account, visit.office
    first = next(iter(remote.complaints), Complaint("failed", "no reason given"))
    words = f"{first.code}: {first.words}"
    visit.moved = True
    if at_fault := {c.line: c for c in remote.complaints if c.line}:
        told = _at_fault(account, batch, at_fault)
        visit.note(finish(office, batch, lambda call: told.get(call, BACK), error=words))
    elif first.code == QUEUE_FULL and _is_too_large(account, batch):
        finish(office, batch, error=words)
    elif first.code != QUEUE_FULL and batch.refusals >= HOPES - 1:
        finish(office, batch, error=words)
        visit.stop = f"{account.url} refuses batches ({words}): mend that, then run again"
    else:
        _wait(account, batch, words)
        visit.troubles.append(
            f"batch {batch.id} was refused, waits and is handed in again ({words})"
        )
    if batch.input_file:
        account.wire.forget(batch.input_file)


def _is_too_large(account: Account, batch: Held) -> bool:
    """Say whether a batch was over the limit before, and is now with no other of ours out."""
    same = batches.c.teacher_id == batch.teacher_id
    others = account.found(OPEN, SENT, same, batches.c.id != batch.id)
    return batch.refusals > 0 and batch.n_calls > 1 and not others


def _at_fault(account: Account, batch: Held, lines: Mapping[int, Complaint]) -> dict[int, Outcome]:
    """The ends of the calls whose lines a provider complains of; lines are in the order of calls."""
    with account.store.read() as connection:
        calls = open_calls(connection, batch.id, most=MOST_LINES)
    return {
        calls[n - 1]: failed(c.code, detail=c.words) for n, c in lines.items() if n <= len(calls)
    }


def _wait(account: Account, batch: Held, words: str) -> None:
    """Let a batch wait until it is handed in again, longer each time."""
    wait = min(LONGEST_WAIT, account.settings.poll_seconds * 2.0**batch.refusals)
    again = {"state": "bound", "remote_id": None, "input_file": None, "error": words}
    account.note(batch, **again, due_at=clock() + wait, refusals=batch.refusals + 1)
